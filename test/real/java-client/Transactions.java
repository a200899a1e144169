import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

import org.tikv.common.BytePairWrapper;
import org.tikv.common.ByteWrapper;
import org.tikv.common.TiConfiguration;
import org.tikv.common.TiSession;
import org.tikv.common.util.ConcreteBackOffer;
import org.tikv.kvproto.Kvrpcpb.KvPair;
import org.tikv.shade.com.google.protobuf.ByteString;
import org.tikv.txn.KVClient;
import org.tikv.txn.TwoPhaseCommitter;

/**
 * Writes transactions through TiKV's Java client, reads them back, and ends with exit code 1 at the first answer that is
 * not what a TiKV cluster gives. Usage: java Transactions.java PD_ADDRESS ADMIN_URL
 */
public class Transactions {
  static final int BACKOFF_MS = 20_000;
  /** Keys of the rows of table 900. */
  static final byte[] PREFIX = rowPrefix(900);

  static TiSession session;
  static KVClient client;
  static String admin;

  interface Step {
    void run() throws Exception;
  }

  public static void main(String[] arguments) throws Exception {
    session = TiSession.create(TiConfiguration.createDefault(arguments[0]));
    client = session.createKVClient();
    admin = arguments[1];
    try {
      step("two-phase commit", Transactions::twoPhaseCommit);
      step("snapshots", Transactions::snapshots);
      step("batch get and scan", Transactions::scans);
      step("region cache after splits", Transactions::splits);
      step("region cache after moved leaders", Transactions::movedLeaders);
      step("region cache after a merge", Transactions::merge);
      step("a write conflict", Transactions::conflict);
      step("the lock of a dead transaction", Transactions::deadTransaction);
    } catch (Throwable error) {
      error.printStackTrace(System.out);
      System.exit(1);
    }
    // The client leaves threads behind.
    System.exit(0);
  }

  static void step(String name, Step step) throws Exception {
    long began = System.currentTimeMillis();
    step.run();
    System.out.println("ok " + name + " (" + (System.currentTimeMillis() - began) + " ms)");
  }

  static void twoPhaseCommit() {
    for (int round = 0; round < 5; round++) {
      String text = "round" + round;
      commit(5, 0, text);
      for (int i = 0; i < 5; i++) expect(text, get(i, now()));
    }
  }

  static void snapshots() {
    commit(3, 10, "old");
    long ts = now();
    commit(3, 10, "new");
    expect("old", get(11, ts));
    expect("new", get(11, now()));
    expect("", get(19, now()));
  }

  static void scans() {
    commit(200, 1000, "scanned");
    List<ByteString> keys = Arrays.asList(key(1003), key(1100), key(9999));
    List<KvPair> found = client.batchGet(ConcreteBackOffer.newCustomBackOff(BACKOFF_MS), keys, now());
    // The newer client leaves out what is not there, the older one answers it without a value.
    expect(2L, found.stream().filter(pair -> !pair.getValue().isEmpty()).count());
    expectScan();
  }

  static void splits() throws Exception {
    expect(1, regions(0, 1200));
    post("/faults/split", "{\"tableId\": 900, \"count\": 7}");
    expectScan();
    commit(200, 1000, "scanned");
    expectScan();
    if (regions(0, 1200) < 4) throw new AssertionError("the client sees " + regions(0, 1200) + " regions");
  }

  static void movedLeaders() throws Exception {
    post("/faults/transfer-leader", "{\"tableId\": 900}");
    commit(200, 1000, "scanned");
    expectScan();
  }

  static void merge() throws Exception {
    post("/faults/merge", "{\"tableId\": 900}");
    commit(200, 1000, "scanned");
    expectScan();
    expect(1, regions(0, 1200));
  }

  static void conflict() throws Exception {
    long early = now();
    commit(1, 30, "first");
    try (TwoPhaseCommitter late = new TwoPhaseCommitter(session, early)) {
      late.prewritePrimaryKey(ConcreteBackOffer.newCustomBackOff(1000), key(30).toByteArray(), value("late"));
    } catch (Exception expected) {
      expect("first", get(30, now()));
      return;
    }
    throw new AssertionError("a write below a newer version went through");
  }

  /** The client stops after its prewrite; a reader waits for the end of the lock and rolls it back. */
  static void deadTransaction() throws Exception {
    commit(1, 40, "alive");
    TwoPhaseCommitter dead = new TwoPhaseCommitter(session, now(), 500);
    dead.prewritePrimaryKey(ConcreteBackOffer.newCustomBackOff(BACKOFF_MS), key(40).toByteArray(), value("dead"));
    expect("alive", get(40, now()));
    commit(1, 40, "again");
    expect("again", get(40, now()));
  }

  /** `count` rows from `first` on, in one transaction of two phases. */
  static long commit(int count, int first, String text) {
    return commit(session, count, first, text);
  }

  static long commit(TiSession session, int count, int first, String text) {
    long startTs = session.getTimestamp().getVersion();
    byte[] primary = key(first).toByteArray();
    try (TwoPhaseCommitter committer = new TwoPhaseCommitter(session, startTs)) {
      committer.prewritePrimaryKey(ConcreteBackOffer.newCustomBackOff(BACKOFF_MS), primary, value(text));
      List<BytePairWrapper> pairs = new ArrayList<>();
      List<ByteWrapper> keys = new ArrayList<>();
      for (int i = 1; i < count; i++) {
        pairs.add(new BytePairWrapper(key(first + i).toByteArray(), value(text)));
        keys.add(new ByteWrapper(key(first + i).toByteArray()));
      }
      if (count > 1) committer.prewriteSecondaryKeys(primary, pairs.iterator(), BACKOFF_MS);
      long commitTs = session.getTimestamp().getVersion();
      committer.commitPrimaryKey(ConcreteBackOffer.newCustomBackOff(BACKOFF_MS), primary, commitTs);
      if (count > 1) committer.commitSecondaryKeys(keys.iterator(), commitTs, BACKOFF_MS);
      return commitTs;
    } catch (Exception error) {
      throw new AssertionError("transaction of " + text, error);
    }
  }

  static String get(int row, long ts) {
    return client.get(key(row), ts).toStringUtf8();
  }

  /** The scan of this client asks the store that it knew; reading row by row finds out where the regions have gone. */
  static void expectScan() {
    for (int row = 1000; row < 1200; row++) expect("scanned", get(row, now()));
    List<KvPair> found = client.scan(key(1000), key(1200), now());
    Set<ByteString> keys = found.stream().map(KvPair::getKey).collect(Collectors.toCollection(HashSet::new));
    expect(200, found.size());
    expect(200, keys.size());
    for (KvPair pair : found) expect("scanned", pair.getValue().toStringUtf8());
  }

  /** How many regions hold the rows, as the client's cache has it. */
  static int regions(int from, int to) {
    Set<Long> ids = new HashSet<>();
    for (int row = from; row < to; row++) ids.add(session.getRegionManager().getRegionByKey(key(row)).getId());
    return ids.size();
  }

  static long now() {
    return session.getTimestamp().getVersion();
  }

  static void post(String path, String body) throws Exception {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(admin + path)).POST(HttpRequest.BodyPublishers.ofString(body)).build();
    HttpResponse<String> response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
    if (response.statusCode() != 200) throw new AssertionError(path + ": " + response.body());
  }

  /** `t`, the table's id with its sign bit turned, `_r`. */
  static byte[] rowPrefix(long table) {
    return java.nio.ByteBuffer.allocate(11).put((byte) 't').putLong(table ^ Long.MIN_VALUE).put((byte) '_').put((byte) 'r').array();
  }

  static ByteString key(int row) {
    return ByteString.copyFrom(java.nio.ByteBuffer.allocate(19).put(PREFIX).putLong(row ^ Long.MIN_VALUE).array());
  }

  static byte[] value(String text) {
    return text.getBytes(java.nio.charset.StandardCharsets.UTF_8);
  }

  static void expect(Object wanted, Object found) {
    if (!wanted.equals(found)) throw new AssertionError("wanted " + wanted + ", found " + found);
  }
}
