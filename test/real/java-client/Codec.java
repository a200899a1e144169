import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Iterator;
import java.util.TimeZone;

import org.tikv.common.TiConfiguration;
import org.tikv.common.TiSession;
import org.tikv.common.catalog.Catalog;
import org.tikv.common.codec.TableCodec;
import org.tikv.common.key.RowKey;
import org.tikv.common.meta.TiColumnInfo;
import org.tikv.common.meta.TiDBInfo;
import org.tikv.common.meta.TiIndexInfo;
import org.tikv.common.meta.TiTableInfo;
import org.tikv.kvproto.Kvrpcpb.KvPair;
import org.tikv.shade.com.google.protobuf.ByteString;

/**
 * Reads a database through the catalog and the row codec of TiKV's Java client; tab-separated lines on stdout:
 * {@code table NAME pkIsHandle partitions}, {@code column TABLE NAME TYPECODE flags}, {@code index TABLE NAME unique columns},
 * {@code row TABLE HANDLE class:base64 …}. Usage: java Codec.java PD_ADDRESS DATABASE
 */
public class Codec {
  public static void main(String[] arguments) throws Exception {
    TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
    try (TiSession session = TiSession.create(TiConfiguration.createDefault(arguments[0]));
        Catalog catalog = new Catalog(session::createSnapshot, false, "")) {
      TiDBInfo database = catalog.getDatabase(arguments[1]);
      for (TiTableInfo table : catalog.listTables(database)) {
        int partitions = table.getPartitionInfo() == null ? 0 : table.getPartitionInfo().getDefs().size();
        print("table", table.getName(), table.isPkHandle(), partitions);
        for (TiColumnInfo column : table.getColumns())
          print("column", table.getName(), column.getName(), column.getType().getTypeCode(), column.getType().getFlag());
        for (TiIndexInfo index : table.getIndices()) {
          StringBuilder columns = new StringBuilder();
          index.getIndexColumns().forEach((part) -> columns.append(columns.length() == 0 ? "" : ",").append(part.getName()));
          print("index", table.getName(), index.getName(), index.isUnique(), columns);
        }
        if (partitions > 0) table.getPartitionInfo().getDefs().forEach((part) -> printRows(session, table, part.getId()));
        else printRows(session, table, table.getId());
      }
    }
    System.exit(0);
  }

  static void printRows(TiSession session, TiTableInfo table, long physicalId) {
    // t, the table's id, _r; a scan without end would lose the last region's last batch in this client.
    ByteString prefix = RowKey.createMin(physicalId).toByteString().substring(0, 11);
    for (Iterator<KvPair> pairs = session.createSnapshot().scanPrefix(prefix); pairs.hasNext(); ) {
      KvPair pair = pairs.next();
      long handle = RowKey.decode(pair.getKey().toByteArray()).getHandle();
      Object[] values = TableCodec.decodeObjects(pair.getValue().toByteArray(), handle, table);
      StringBuilder line = new StringBuilder("row\t" + table.getName() + "\t" + handle);
      for (Object value : values) line.append('\t').append(show(value));
      System.out.println(line);
    }
  }

  static String show(Object value) {
    if (value == null) return "null";
    byte[] text = value instanceof byte[] ? (byte[]) value : value.toString().getBytes(StandardCharsets.UTF_8);
    return value.getClass().getSimpleName() + ":" + Base64.getEncoder().encodeToString(text);
  }

  static void print(Object... fields) {
    StringBuilder line = new StringBuilder();
    for (Object field : fields) line.append(line.length() == 0 ? "" : "\t").append(field);
    System.out.println(line);
  }
}
