import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

import org.tikv.cdc.CDCClient;
import org.tikv.common.TiConfiguration;
import org.tikv.common.TiSession;
import org.tikv.kvproto.Cdcpb.Event.LogType;
import org.tikv.kvproto.Cdcpb.Event.Row;
import org.tikv.kvproto.Coprocessor.KeyRange;
import org.tikv.shade.com.google.protobuf.ByteString;

/**
 * Writes transactions and receives them through the change-feed client of TiKV's Java client, over splits and moved
 * leaders; ends with exit code 1 where a change is missing. Usage: java ChangeFeed PD_ADDRESS ADMIN_URL
 */
public class ChangeFeed {
  static final int ROWS = 100;
  static final Map<String, String> prewritten = new HashMap<>();
  /** Value by key and commit timestamp. */
  static final Map<String, String> committed = new HashMap<>();

  public static void main(String[] arguments) throws Exception {
    TiSession session = TiSession.create(TiConfiguration.createDefault(arguments[0]));
    Transactions.session = session;
    Transactions.admin = arguments[1];
    Map<String, String> wanted = new HashMap<>();
    try {
      Transactions.commit(ROWS, 0, "before the feed");
      // This client cannot follow the first and the last region of all: let those hold other tables.
      for (int table = 899; table <= 901; table++)
        Transactions.post("/faults/split", "{\"tableId\": " + table + ", \"count\": 3}");
      long startTs = session.getTimestamp().getVersion();
      write(wanted, "scanned");
      KeyRange range = KeyRange.newBuilder().setStart(Transactions.key(0)).setEnd(Transactions.key(ROWS)).build();
      CDCClient feed = new CDCClient(session, range);
      feed.start(startTs);
      receive(feed, wanted, "initial scan");
      write(wanted, "live");
      receive(feed, wanted, "live changes");
      // No merge: two regions report it, and this client has forgotten the second one by then.
      for (String fault : new String[] {"split", "transfer-leader"}) {
        Transactions.post("/faults/" + fault, "{\"tableId\": 900, \"count\": 5}");
        write(wanted, fault);
        receive(feed, wanted, "changes after " + fault);
      }
    } catch (Throwable error) {
      error.printStackTrace(System.out);
      System.exit(1);
    }
    System.exit(0);
  }

  static void write(Map<String, String> wanted, String text) {
    long commitTs = Transactions.commit(ROWS, 0, text);
    for (int row = 0; row < ROWS; row++) wanted.put(name(Transactions.key(row), commitTs), text);
  }

  /** Reads until every change is there and the resolved timestamp has passed them. */
  static void receive(CDCClient feed, Map<String, String> wanted, String what) throws Exception {
    long began = System.currentTimeMillis();
    long writtenUpTo = Transactions.now();
    while (!committed.keySet().containsAll(wanted.keySet()) || resolvedTs(feed) < writtenUpTo) {
      if (System.currentTimeMillis() - began > 20_000)
        throw new AssertionError(what + ": " + committed.size() + " of " + wanted.size() + " changes, resolved up to "
            + resolvedTs(feed) + " of " + writtenUpTo);
      Row row = feed.get();
      if (row == null) Thread.sleep(1);
      else take(row);
    }
    if (!committed.equals(wanted)) throw new AssertionError(what + ": changes that nobody made");
    System.out.println("ok " + what + " (" + (System.currentTimeMillis() - began) + " ms)");
  }

  static long resolvedTs(CDCClient feed) {
    try {
      return feed.getMinResolvedTs();
    } catch (NullPointerException noRegion) {
      return 0;
    }
  }

  static void take(Row row) {
    String transaction = name(row.getKey(), row.getStartTs());
    if (row.getType() == LogType.PREWRITE) prewritten.put(transaction, row.getValue().toStringUtf8());
    if (row.getType() == LogType.COMMITTED) committed.put(name(row.getKey(), row.getCommitTs()), row.getValue().toStringUtf8());
    if (row.getType() == LogType.COMMIT) committed.put(name(row.getKey(), row.getCommitTs()), prewritten.get(transaction));
  }

  static String name(ByteString key, long ts) {
    return key.toString(StandardCharsets.ISO_8859_1) + "@" + ts;
  }
}
