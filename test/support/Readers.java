import com.fasterxml.jackson.databind.ObjectMapper;
import io.debezium.transforms.ExtractNewRecordState;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.FileReader;
import java.math.BigDecimal;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import net.jpountz.lz4.LZ4FrameInputStream;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.formats.common.TimestampFormat;
import org.apache.flink.formats.json.canal.CanalJsonDeserializationSchema;
import org.apache.flink.formats.json.maxwell.MaxwellJsonDeserializationSchema;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.groups.UnregisteredMetricsGroup;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.runtime.typeutils.InternalTypeInfo;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.util.Collector;
import org.apache.flink.util.SimpleUserCodeClassLoader;
import org.apache.flink.util.UserCodeClassLoader;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;
import org.xerial.snappy.Snappy;

/**
 * Reads messages with code of others and prints the row changes that it sees, one JSON document per line.
 *
 * usage: java Readers.java INPUT TABLE=name:TYPE,… …
 *
 * INPUT has a line per message: format, table, key and value in base64 ("-" = none), tab between them. Formats: canal-json
 * and maxwell (Flink's, one document per message), debezium (Kafka Connect's JSON converter and Debezium's ExtractNewRecordState). Types are Flink's.
 * lz4, snappy (lz4-java's and snappy-java's): whether the value is the key, compressed.
 */
public class Readers {
  static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] args) throws Exception {
    Map<String, List<String[]>> tables = new HashMap<>();
    for (int i = 1; i < args.length; i++) {
      String[] parts = args[i].split("=");
      List<String[]> columns = new ArrayList<>();
      for (String column : parts[1].split(";")) columns.add(column.split(":"));
      tables.put(parts[0], columns);
    }
    Map<String, DeserializationSchema<RowData>> flink = new HashMap<>();
    for (var table : tables.entrySet()) {
      flink.put("canal-json " + table.getKey(), opened(canalReader(rowType(table.getValue()))));
      flink.put("maxwell " + table.getKey(), opened(maxwellReader(rowType(table.getValue()))));
    }
    DebeziumReader debezium = new DebeziumReader();
    try (BufferedReader input = new BufferedReader(new FileReader(args[0]))) {
      for (String line; (line = input.readLine()) != null; ) {
        String[] parts = line.split("\t");
        String table = parts[1];
        byte[] key = parts[2].equals("-") ? null : Base64.getDecoder().decode(parts[2]);
        byte[] value = Base64.getDecoder().decode(parts[3]);
        if (parts[0].equals("lz4") || parts[0].equals("snappy")) {
          byte[] plain =
              parts[0].equals("snappy")
                  ? Snappy.uncompress(value)
                  : new LZ4FrameInputStream(new ByteArrayInputStream(value)).readAllBytes();
          print(parts[0], table, Arrays.equals(plain, key) ? "same" : "different", Map.of());
        } else if (parts[0].equals("debezium")) debezium.read(table, key, value);
        else flink.get(parts[0] + " " + table).deserialize(value, new RowPrinter(parts[0], table, tables.get(table)));
      }
    }
  }

  static void print(String format, String table, String kind, Map<String, String> row) {
    try {
      Map<String, Object> line = new LinkedHashMap<>();
      line.put("format", format);
      line.put("table", table);
      line.put("kind", kind);
      line.put("row", row);
      System.out.println(JSON.writeValueAsString(line));
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  static DataType typeOf(String name) {
    if (name.equals("BIGINT")) return DataTypes.BIGINT();
    if (name.equals("INT")) return DataTypes.INT();
    if (name.equals("DATE")) return DataTypes.DATE();
    if (name.equals("STRING")) return DataTypes.STRING();
    String[] parts = name.replaceAll("[^0-9,]", "").split(",");
    if (name.startsWith("TIMESTAMP")) return DataTypes.TIMESTAMP(Integer.parseInt(parts[0]));
    return DataTypes.DECIMAL(Integer.parseInt(parts[0]), Integer.parseInt(parts[1]));
  }

  static DataType rowType(List<String[]> columns) {
    List<DataTypes.Field> fields = new ArrayList<>();
    for (String[] column : columns) fields.add(DataTypes.FIELD(column[0], typeOf(column[1])));
    return DataTypes.ROW(fields.toArray(new DataTypes.Field[0]));
  }

  static CanalJsonDeserializationSchema canalReader(DataType type) {
    return CanalJsonDeserializationSchema.builder(type, List.of(), InternalTypeInfo.of((RowType) type.getLogicalType()))
        .setIgnoreParseErrors(false)
        .setTimestampFormat(TimestampFormat.SQL)
        .build();
  }

  static MaxwellJsonDeserializationSchema maxwellReader(DataType type) {
    var info = InternalTypeInfo.of((RowType) type.getLogicalType());
    return new MaxwellJsonDeserializationSchema(type, List.of(), info, false, TimestampFormat.SQL);
  }

  static DeserializationSchema<RowData> opened(DeserializationSchema<RowData> schema) throws Exception {
    schema.open(
        new DeserializationSchema.InitializationContext() {
          public MetricGroup getMetricGroup() {
            return new UnregisteredMetricsGroup();
          }

          public UserCodeClassLoader getUserCodeClassLoader() {
            return SimpleUserCodeClassLoader.create(Readers.class.getClassLoader());
          }
        });
    return schema;
  }

  record RowPrinter(String format, String table, List<String[]> columns) implements Collector<RowData> {
    public void collect(RowData row) {
      Map<String, String> values = new LinkedHashMap<>();
      for (int i = 0; i < columns.size(); i++) {
        DataType type = typeOf(columns.get(i)[1]);
        Object value = RowData.createFieldGetter(type.getLogicalType(), i).getFieldOrNull(row);
        values.put(columns.get(i)[0], value == null ? null : textOf(value, type.getLogicalType().getTypeRoot()));
      }
      print(format, table, row.getRowKind().shortString(), values);
    }

    public void close() {}
  }

  static String textOf(Object value, LogicalTypeRoot type) {
    if (value instanceof DecimalData decimal) return decimal.toBigDecimal().toPlainString();
    if (value instanceof TimestampData time)
      return time.toTimestamp().toLocalDateTime().format(java.time.format.DateTimeFormatter.ofPattern("uuuu-MM-dd HH:mm:ss.SSS"));
    if (type == LogicalTypeRoot.DATE) return LocalDate.ofEpochDay((Integer) value).toString();
    return value.toString();
  }

  static class DebeziumReader {
    final JsonConverter keys = new JsonConverter();
    final JsonConverter values = new JsonConverter();
    final ExtractNewRecordState<SinkRecord> extract = new ExtractNewRecordState<>();
    long offset = 0;

    DebeziumReader() {
      keys.configure(Map.of("schemas.enable", true), true);
      values.configure(Map.of("schemas.enable", true, "decimal.format", "NUMERIC"), false);
      extract.configure(Map.of("delete.tombstone.handling.mode", "rewrite"));
    }

    void read(String table, byte[] keyBytes, byte[] valueBytes) {
      SchemaAndValue key = keys.toConnectData(table, keyBytes);
      SchemaAndValue value = values.toConnectData(table, valueBytes);
      ((Struct) key.value()).validate();
      ((Struct) value.value()).validate();
      String op = ((Struct) value.value()).getString("op");
      SinkRecord record =
          extract.apply(new SinkRecord(table, 0, key.schema(), key.value(), value.schema(), value.value(), offset++));
      Struct row = (Struct) record.value();
      Map<String, String> texts = new LinkedHashMap<>();
      for (Field field : row.schema().fields()) {
        Object cell = row.get(field);
        if (cell instanceof byte[] bytes) cell = Base64.getEncoder().encodeToString(bytes);
        if (cell instanceof Double number) cell = BigDecimal.valueOf(number).toPlainString();
        texts.put(field.name(), cell == null ? null : cell.toString());
      }
      print("debezium", table, op.equals("d") ? "-D" : "+" + op.toUpperCase(), texts);
    }
  }
}
