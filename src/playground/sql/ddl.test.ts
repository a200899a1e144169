import assert from 'node:assert/strict'
import { test } from 'node:test'

import { openTestServer, refused, rows } from './server.fixture.ts'

test('generated columns follow their expression, stored or not', async () => {
  await using server = await openTestServer()
  await using db = await server.connect('gen')
  await db.query(`CREATE TABLE t (id INT PRIMARY KEY, a INT, v INT AS (a + 1), s VARCHAR(20) AS (concat('x', a)) STORED NOT NULL, j JSON,
    n VARCHAR(9) GENERATED ALWAYS AS (j->>'$.n') VIRTUAL, KEY kv (v), UNIQUE KEY ks (s))`)
  await db.query(`INSERT INTO t (id, a, j) VALUES (1, 10, '{"n": "one"}'), (2, 20, NULL)`)
  await db.query('INSERT INTO t VALUES (3, 30, DEFAULT, DEFAULT, NULL, DEFAULT)')
  assert.deepEqual(await rows(db, 'SELECT id, v, s, n FROM t WHERE v = 11'), [[1, 11, 'x10', 'one']])
  await db.query('UPDATE t SET a = 11 WHERE id = 1')
  assert.deepEqual(await rows(db, "SELECT id, v, s FROM t WHERE s = 'x11'"), [[1, 12, 'x11']])
  assert.deepEqual(await rows(db, 'SELECT id FROM t WHERE v = 11'), [])
  const { columns } = await server.table('gen', 't')
  const [first] = await server.storedRows('gen', 't')
  assert.deepEqual(
    columns.map(({ generatedExpr }) => generatedExpr).filter((text) => text !== ''),
    ['`a` + 1', "concat('x', `a`)", "`j` ->> '$.n'"],
  )
  assert.equal(first?.[2], null)
  assert.deepEqual(first?.[3], new Uint8Array(Buffer.from('x11')))
  await refused(db, 'INSERT INTO t (id, a, v) VALUES (4, 1, 1)', 3105)
  await refused(db, 'UPDATE t SET v = 1', 3105)
  await refused(db, 'ALTER TABLE t DROP COLUMN a', 3108)
  await refused(db, 'CREATE TABLE u (a INT AS (b))', 1054)
  await db.query('ALTER TABLE t ADD COLUMN w INT AS (a * 2)')
  assert.deepEqual(await rows(db, 'SELECT w FROM t ORDER BY id'), [[22], [40], [60]])
})

test('an expression index is a hidden virtual column', async () => {
  await using server = await openTestServer()
  await using db = await server.connect('expr')
  await db.query('CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20), KEY k ((lower(name))))')
  await db.query("INSERT INTO t VALUES (1, 'ABC')")
  assert.deepEqual(await rows(db, 'SELECT * FROM t'), [[1, 'ABC']])
  await db.query('CREATE INDEX k2 ON t ((id * 3), name)')
  const { columns } = await server.table('expr', 't')
  assert.deepEqual(
    columns.map(({ name, hidden, generatedExpr }) => [name.original, hidden, generatedExpr]),
    [
      ['id', false, ''],
      ['name', false, ''],
      ['_V$_k_0', true, 'lower(`name`)'],
      ['_V$_k2_0', true, '`id` * 3'],
    ],
  )
  assert.equal(await server.keysOf('expr', 't'), 3)
  await db.query('ALTER TABLE t DROP INDEX k')
  assert.equal((await server.table('expr', 't')).columns.length, 3)
})

test('defaults may be expressions', async () => {
  await using server = await openTestServer()
  await using db = await server.connect('defaults')
  await db.query(
    "CREATE TABLE t (id INT PRIMARY KEY, u CHAR(36) DEFAULT (uuid()), r DOUBLE DEFAULT (rand()), j JSON DEFAULT (json_object('a', 1)))",
  )
  await db.query('INSERT INTO t (id) VALUES (1)')
  const [[uuid, json] = []] = (await rows(db, 'SELECT u, j FROM t')) as unknown[][]
  assert.match(String(uuid), /^[0-9a-f-]{36}$/)
  assert.deepEqual(json, { a: 1 })
  const { columns } = await server.table('defaults', 't')
  assert.deepEqual(
    columns.map(({ defaultIsExpr, defaultValue }) => [defaultIsExpr, defaultValue]),
    [
      [false, null],
      [true, 'uuid()'],
      [true, 'rand()'],
      [true, "json_object('a', 1)"],
    ],
  )
  await refused(db, 'ALTER TABLE t ADD COLUMN x CHAR(36) DEFAULT (uuid())', 1674)
  await refused(db, 'CREATE TABLE u (a INT DEFAULT (sleep(1)))', 3770)
})

test('AUTO_RANDOM and SHARD_ROW_ID_BITS put a shard above the count', async () => {
  await using server = await openTestServer()
  await using db = await server.connect('shards', { supportBigNumbers: true, bigNumberStrings: true })
  await db.query('CREATE TABLE r (id BIGINT AUTO_RANDOM(5) PRIMARY KEY, a INT)')
  for (let i = 0; i < 8; i++) await db.query('INSERT INTO r (a) VALUES (1), (2)')
  const ids = (await rows(db, 'SELECT id FROM r')).flat().map((id) => BigInt(String(id)))
  assert.equal(new Set(ids.map((id) => id & ((1n << 58n) - 1n))).size, 16)
  assert.ok(new Set(ids.map((id) => id >> 58n)).size > 1)
  await refused(db, 'INSERT INTO r VALUES (5, 1)', 8216)
  await db.query('SET allow_auto_random_explicit_insert = 1; INSERT INTO r VALUES (5, 1)')
  await refused(db, 'CREATE TABLE x (id INT AUTO_RANDOM PRIMARY KEY)', 8216)
  await refused(db, 'CREATE TABLE x (id BIGINT AUTO_RANDOM, PRIMARY KEY (id) NONCLUSTERED)', 8216)
  await db.query('CREATE TABLE s (a INT) SHARD_ROW_ID_BITS = 4 PRE_SPLIT_REGIONS = 2')
  await db.query('INSERT INTO s VALUES (1), (2)')
  assert.deepEqual(await rows(db, 'SELECT a FROM s ORDER BY a'), [[1], [2]])
  await refused(db, 'CREATE TABLE x (id INT PRIMARY KEY) SHARD_ROW_ID_BITS = 4', 8200)
})

test('MODIFY COLUMN rewrites rows where it must, under a new column id', async () => {
  await using server = await openTestServer()
  await using db = await server.connect('reorg')
  await db.query('CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(20), KEY ka (a), UNIQUE KEY kb (b))')
  await db.query("INSERT INTO t VALUES (1, 10, '100'), (2, NULL, '200')")
  await db.query('ALTER TABLE t MODIFY COLUMN a VARCHAR(5) FIRST')
  assert.deepEqual(await rows(db, "SELECT * FROM t WHERE a = '10'"), [['10', 1, '100']])
  await db.query('ALTER TABLE t CHANGE b c BIGINT UNSIGNED NOT NULL')
  assert.deepEqual(await rows(db, 'SELECT * FROM t WHERE c = 200'), [[null, 2, 200]])
  const { columns, indexes, maxColumnId } = await server.table('reorg', 't')
  assert.deepEqual([columns.map(({ id }) => id), indexes.map(({ id }) => id), maxColumnId], [[4, 1, 5], [3, 4], 5])
  await refused(db, 'ALTER TABLE t MODIFY COLUMN id VARCHAR(5)', 8200)
  await refused(db, 'ALTER TABLE t MODIFY COLUMN c TINYINT', 1264)
  await refused(db, 'ALTER TABLE t MODIFY COLUMN a INT NOT NULL', 1265)
  assert.deepEqual(
    (await server.jobs('reorg')).map(({ type }) => type),
    [1, 3, 12, 12],
  )
  await db.query(
    'CREATE TABLE u (id INT PRIMARY KEY, d DECIMAL(5,2), UNIQUE KEY kd (d)); INSERT INTO u VALUES (1, 1.4), (2, 1.3)',
  )
  await refused(db, 'ALTER TABLE u MODIFY COLUMN d INT', 1062)
  await db.query("ALTER TABLE u ADD COLUMN s VARCHAR(9) DEFAULT 'x'")
  assert.deepEqual(await rows(db, 'SELECT * FROM u'), [
    [1, '1.40', 'x'],
    [2, '1.30', 'x'],
  ])
})

test('rows find their partition, whatever chooses it', async () => {
  await using server = await openTestServer()
  await using db = await server.connect('parts')
  await db.query(`CREATE TABLE r (id INT, d DATE, v INT, PRIMARY KEY (id, d)) PARTITION BY RANGE (YEAR(d))
    (PARTITION p0 VALUES LESS THAN (2020), PARTITION p1 VALUES LESS THAN (2022), PARTITION pm VALUES LESS THAN MAXVALUE)`)
  await db.query("INSERT INTO r VALUES (1, '2019-01-01', 1), (2, '2021-01-01', 2), (3, '2030-01-01', 3)")
  await db.query("UPDATE r SET d = '2019-05-05' WHERE id = 2")
  assert.deepEqual(await rows(db, 'SELECT id FROM r PARTITION (p0) ORDER BY id'), [[1], [2]])
  assert.deepEqual(await rows(db, 'SELECT id FROM r ORDER BY id'), [[1], [2], [3]])
  await db.query(`CREATE TABLE rc (a INT, b VARCHAR(9), KEY (a)) PARTITION BY RANGE COLUMNS (b, a)
    (PARTITION p0 VALUES LESS THAN ('m', 5), PARTITION p1 VALUES LESS THAN (MAXVALUE, MAXVALUE))`)
  await db.query("INSERT INTO rc VALUES (1, 'a'), (4, 'm'), (5, 'm'), (NULL, NULL)")
  assert.deepEqual(await rows(db, 'SELECT COUNT(*) FROM rc PARTITION (p0)'), [[3]])
  assert.deepEqual(await rows(db, 'SELECT b FROM rc WHERE a = 4'), [['m']])
  await db.query(
    'CREATE TABLE l (a INT) PARTITION BY LIST (a) (PARTITION x VALUES IN (1, 2), PARTITION y VALUES IN (3, NULL))',
  )
  await db.query('INSERT INTO l VALUES (1), (3), (NULL)')
  await refused(db, 'INSERT INTO l VALUES (9)', 1526)
  assert.deepEqual(await rows(db, 'SELECT COUNT(*) FROM l PARTITION (y)'), [[2]])
  await db.query('CREATE TABLE h (a INT PRIMARY KEY, b INT UNIQUE KEY) PARTITION BY HASH (a) PARTITIONS 3').then(
    () => assert.fail('a unique key without the partition column'),
    (error: unknown) => assert.match(String(error), /must include all columns/),
  )
  await db.query('CREATE TABLE h (a INT PRIMARY KEY AUTO_INCREMENT) PARTITION BY HASH (a) PARTITIONS 3')
  await db.query('INSERT INTO h VALUES (), (), (), ()')
  await db.query('CREATE TABLE k (a VARCHAR(9) PRIMARY KEY) PARTITION BY KEY () PARTITIONS 2')
  await db.query("INSERT INTO k VALUES ('a'), ('b'), ('c')")
  assert.deepEqual(await rows(db, "SELECT a FROM k WHERE a IN ('a', 'c') ORDER BY a"), [['a'], ['c']])
  await refused(
    db,
    'CREATE TABLE x (a INT) PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (5), PARTITION q VALUES LESS THAN (5))',
    1493,
  )
  await refused(db, 'CREATE TABLE x (a INT) PARTITION BY RANGE (a)', 1492)
})

test('partitions are added, dropped, truncated, exchanged and reorganized', async () => {
  await using server = await openTestServer()
  await using db = await server.connect('changes')
  const counts = async (): Promise<unknown[]> => {
    const { partitions = [] } = await server.table('changes', 't')
    const found: unknown[] = []
    for (const { name } of partitions)
      found.push([name.original, (await rows(db, `SELECT COUNT(*) FROM t PARTITION (${name.original})`)).flat()[0]])
    return found
  }
  await db.query(
    'CREATE TABLE t (a INT PRIMARY KEY, b INT, KEY (b)) PARTITION BY RANGE (a) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))',
  )
  await db.query('INSERT INTO t VALUES (1, 1), (5, 5), (11, 11)')
  await db.query('ALTER TABLE t ADD PARTITION (PARTITION p2 VALUES LESS THAN (30))')
  await db.query('INSERT INTO t VALUES (25, 25)')
  assert.deepEqual(await counts(), [
    ['p0', 2],
    ['p1', 1],
    ['p2', 1],
  ])
  await db.query(
    'ALTER TABLE t REORGANIZE PARTITION p0, p1 INTO (PARTITION a VALUES LESS THAN (3), PARTITION b VALUES LESS THAN (20))',
  )
  assert.deepEqual(await counts(), [
    ['a', 1],
    ['b', 2],
    ['p2', 1],
  ])
  assert.deepEqual(await rows(db, 'SELECT a FROM t WHERE b = 11'), [[11]])
  await db.query('CREATE TABLE n LIKE t')
  await refused(db, 'ALTER TABLE t EXCHANGE PARTITION b WITH TABLE n', 1732)
  await db.query('ALTER TABLE n REMOVE PARTITIONING; INSERT INTO n VALUES (7, 7)')
  const plain = await server.table('changes', 'n')
  const before = await server.table('changes', 't')
  await db.query('ALTER TABLE t EXCHANGE PARTITION b WITH TABLE n')
  assert.equal((await server.table('changes', 'n')).id, before.partitions?.[1]?.id)
  assert.equal((await server.table('changes', 't')).partitions?.[1]?.id, plain.id)
  assert.deepEqual(await rows(db, 'SELECT a FROM n ORDER BY a'), [[5], [11]])
  await db.query('INSERT INTO n VALUES (99, 1)')
  await refused(db, 'ALTER TABLE t EXCHANGE PARTITION b WITH TABLE n', 1737)
  await db.query('ALTER TABLE t TRUNCATE PARTITION b')
  await db.query('ALTER TABLE t DROP PARTITION a')
  assert.deepEqual(await counts(), [
    ['b', 0],
    ['p2', 1],
  ])
  await db.query(
    'ALTER TABLE t PARTITION BY HASH (a) PARTITIONS 2; ALTER TABLE t ADD PARTITION PARTITIONS 1; ALTER TABLE t COALESCE PARTITION 2',
  )
  assert.deepEqual(await counts(), [['p0', 1]])
  await db.query('ALTER TABLE t REMOVE PARTITIONING; TRUNCATE TABLE t')
  await refused(db, 'ALTER TABLE t DROP PARTITION p0', 1505)
  const jobs = await server.jobs('changes')
  assert.deepEqual(
    jobs.map(({ type }) => type),
    [1, 3, 19, 64, 3, 72, 42, 23, 20, 71, 64, 64, 72, 11],
  )
})

test('views, sequences, foreign keys, TTL and charsets are metadata', async () => {
  await using server = await openTestServer()
  await using db = await server.connect('objects')
  await db.query('CREATE TABLE t (id INT PRIMARY KEY, a INT, d DATETIME, s VARCHAR(9), KEY ka (a)) CHARSET = utf8')
  await db.query("INSERT INTO t VALUES (1, 10, NULL, 'x'), (2, 20, NULL, 'y')")
  await db.query('CREATE VIEW v (x, y) AS SELECT id, a + 1 FROM t WHERE a > 10')
  assert.deepEqual(await rows(db, 'SELECT x, y FROM v'), [[2, 21]])
  await db.query('CREATE OR REPLACE VIEW v AS SELECT * FROM t')
  assert.deepEqual(await rows(db, 'SELECT s FROM v WHERE id = 1'), [['x']])
  await refused(db, 'INSERT INTO v VALUES (1)', 1347)
  await db.query(
    'DROP VIEW v; CREATE SEQUENCE q START WITH 5 INCREMENT BY 2; ALTER SEQUENCE q CACHE 10; DROP SEQUENCE q',
  )
  await db.query(
    'CREATE TABLE c (id INT PRIMARY KEY, t INT, CONSTRAINT f FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE)',
  )
  await db.query('ALTER TABLE c DROP FOREIGN KEY f; ALTER TABLE c ADD CONSTRAINT g FOREIGN KEY (t) REFERENCES t (id)')
  await db.query("ALTER TABLE t TTL = d + INTERVAL 3 MONTH TTL_ENABLE = 'OFF'; ALTER TABLE t REMOVE TTL")
  await db.query('ALTER TABLE t ALTER INDEX ka INVISIBLE; ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4')
  await db.query('ALTER DATABASE objects COLLATE utf8mb4_general_ci; ALTER TABLE t SHARD_ROW_ID_BITS = 0')
  await db.query("ALTER TABLE t ALTER COLUMN a SET DEFAULT 7, COMMENT = 'x', RENAME INDEX ka TO kb")
  await db.query(
    'CREATE TABLE t2 (a INT); CREATE DATABASE other; RENAME TABLE t TO other.t, t2 TO t; RENAME TABLE other.t TO objects.t3',
  )
  await db.query('DROP TABLE c; RECOVER TABLE c; TRUNCATE TABLE t3; FLASHBACK TABLE t3 TO t4')
  assert.deepEqual(await rows(db, 'SELECT id FROM t4 ORDER BY id'), [[1], [2]])
  const jobs = await server.jobs('objects')
  assert.deepEqual(
    jobs.map(({ type }) => type),
    [1, 3, 21, 21, 24, 34, 35, 36, 3, 10, 9, 65, 67, 41, 22, 26, 16, 61, 3, 47, 14, 4, 25, 11, 25],
  )
})

test('SHOW CREATE TABLE gives back what makes the same table', async () => {
  await using server = await openTestServer()
  await using db = await server.connect('shown')
  const statements = [
    `CREATE TABLE a (id BIGINT AUTO_RANDOM(4) PRIMARY KEY, v VECTOR(3), g INT AS (id + 1) STORED NOT NULL, u CHAR(36) DEFAULT (uuid()), d DATETIME,
      KEY k ((lower(u)), g)) TTL = d + INTERVAL 2 DAY COMMENT 'x'`,
    'CREATE TABLE b (a INT, b VARCHAR(9), PRIMARY KEY (b(3), a)) CHARSET = gbk PARTITION BY HASH (a) PARTITIONS 2',
    "CREATE TABLE c (a INT, d DATE) SHARD_ROW_ID_BITS = 3 PARTITION BY RANGE COLUMNS (d) (PARTITION p VALUES LESS THAN ('2020-01-01') COMMENT 'old', PARTITION q VALUES LESS THAN (MAXVALUE))",
    'CREATE TABLE d (a INT, b INT) PARTITION BY LIST COLUMNS (a, b) (PARTITION p VALUES IN ((1, 2), (3, 4)), PARTITION q VALUES IN ((5, 6)))',
  ]
  for (const statement of statements) {
    const name = /TABLE (\w)/.exec(statement)?.[1] ?? ''
    await db.query(statement)
    const [[, text] = []] = (await rows(db, `SHOW CREATE TABLE ${name}`)) as string[][]
    await db.query(`DROP TABLE ${name}`)
    await db.query(text ?? '')
    const [[, again] = []] = (await rows(db, `SHOW CREATE TABLE ${name}`)) as string[][]
    assert.equal(again, text)
  }
  await db.query('CREATE VIEW v AS SELECT a FROM d; CREATE SEQUENCE s')
  assert.match(
    JSON.stringify(await rows(db, 'SHOW CREATE VIEW v')),
    /VIEW `v` \(`a`\) AS SELECT `a` AS `a` FROM `shown`.`d`/,
  )
})

test('tidb_snapshot reads rows and tables of the past, and nothing is written meanwhile', async () => {
  await using server = await openTestServer()
  await using db = await server.connect('past')
  await db.query('CREATE TABLE t (a INT PRIMARY KEY); INSERT INTO t VALUES (1)')
  const ts = await server.store.timestamp(new AbortController().signal)
  await db.query('INSERT INTO t VALUES (2); ALTER TABLE t ADD COLUMN b INT')
  await db.query(`SET @@tidb_snapshot = '${ts}'`)
  assert.deepEqual(await rows(db, 'SELECT * FROM t'), [[1]])
  await refused(db, 'INSERT INTO t VALUES (3, 3)', 1105)
  await refused(db, 'DROP TABLE t', 1105)
  await db.query("SET @@tidb_snapshot = ''")
  assert.deepEqual(await rows(db, 'SELECT * FROM t'), [
    [1, null],
    [2, null],
  ])
})

test('INFORMATION_SCHEMA tells of partitions, keys, columns and regions', async () => {
  await using server = await openTestServer()
  await using db = await server.connect('told')
  await db.query(
    'CREATE TABLE t (a INT PRIMARY KEY, b INT AS (a + 1)) PARTITION BY HASH (a) PARTITIONS 2; CREATE VIEW v AS SELECT 1 AS x',
  )
  const told = "table_schema = 'told'"
  assert.deepEqual(
    await rows(
      db,
      `SELECT partition_name, partition_method, partition_expression FROM information_schema.partitions WHERE ${told} AND table_name = 't'`,
    ),
    [
      ['p0', 'HASH', '`a`'],
      ['p1', 'HASH', '`a`'],
    ],
  )
  assert.deepEqual(
    await rows(
      db,
      `SELECT table_name, table_type, create_options FROM information_schema.tables WHERE ${told} ORDER BY 1`,
    ),
    [
      ['t', 'BASE TABLE', 'partitioned'],
      ['v', 'VIEW', ''],
    ],
  )
  assert.deepEqual(await rows(db, `SELECT index_name, column_name FROM information_schema.statistics WHERE ${told}`), [
    ['PRIMARY', 'a'],
  ])
  assert.deepEqual(
    await rows(
      db,
      `SELECT column_name, extra, generation_expression FROM information_schema.columns WHERE ${told} AND table_name = 't'`,
    ),
    [
      ['a', '', ''],
      ['b', 'VIRTUAL GENERATED', '`a` + 1'],
    ],
  )
  assert.deepEqual(
    await rows(
      db,
      "SELECT COUNT(*), COUNT(DISTINCT region_id) FROM information_schema.tikv_region_status WHERE db_name = 'told' AND table_name = 't'",
    ),
    [[2, 1]],
  )
})
