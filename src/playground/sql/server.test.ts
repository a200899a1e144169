import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { createConnection } from 'mysql2/promise'
import type { Connection, ConnectionOptions } from 'mysql2/promise'

import { silentLog } from '../../base/log.ts'
import { JobState, parseDdlJob } from '../../tidb/ddl-job.ts'
import { intHandle, recordKey } from '../../tidb/key.ts'
import { DDL_JOB_TABLE_ID, jobHistoryRange, schemaVersionKey, tableKey } from '../../tidb/meta-key.ts'
import { compileRowDecoder } from '../../tidb/row-decoder.ts'
import { parseTableInfo } from '../../tidb/table-info-json.ts'
import { utcZone } from '../../tidb/time-zone.ts'
import { serveStore } from './server.ts'
import type { SqlServer } from './server.ts'
import { MemoryStore } from './txn/memory-store.ts'

const store = new MemoryStore()
const signal = new AbortController().signal
let server: SqlServer

before(async () => {
  server = await serveStore(store, { host: '127.0.0.1', port: 0, log: silentLog }, signal)
})
after(() => server[Symbol.asyncDispose]())

/** A client with a database of its own. */
async function connect(database: string, options: ConnectionOptions = {}): Promise<Connection & AsyncDisposable> {
  const port = Number(server.address.split(':')[1])
  const base = {
    host: '127.0.0.1',
    port,
    user: 'root',
    supportBigNumbers: true,
    bigNumberStrings: false,
    dateStrings: true,
    multipleStatements: true,
  }
  const connection = await createConnection({ ...base, ...options })
  await connection.query(`CREATE DATABASE IF NOT EXISTS ${database}`)
  await connection.query(`USE ${database}`)
  return Object.assign(connection, { [Symbol.asyncDispose]: () => connection.end() })
}

async function rows(connection: Connection, sql: string, values?: unknown[]): Promise<unknown[]> {
  const [result] = await connection.query({ sql, rowsAsArray: true, ...(values === undefined ? {} : { values }) })
  assert.ok(Array.isArray(result))
  return result
}

/** Fails unless the statement is refused with that error number. */
async function refused(connection: Connection, sql: string, errno: number): Promise<void> {
  await assert.rejects(connection.query(sql), (error: unknown) => {
    assert.ok(error instanceof Error && 'errno' in error)
    assert.equal(error.errno, errno, `${sql}: ${error.message}`)
    return true
  })
}

test('a fresh cluster has mysql and test', async () => {
  await using db = await connect('fresh')
  assert.deepEqual((await rows(db, "SHOW DATABASES LIKE 'test'")).flat(), ['test'])
  assert.deepEqual(
    await rows(db, "SELECT TABLE_NAME FROM information_schema.tables WHERE table_schema = 'mysql' ORDER BY 1"),
    [['tidb_ddl_history'], ['tidb_ddl_job']],
  )
})

test('only root without a password may enter', async () => {
  await assert.rejects(connect('x', { user: 'bob' }), /Access denied/)
  await assert.rejects(connect('x', { password: 'secret' }), /Access denied for user 'root'.*using password: YES/)
})

test('every type reads back as it was written, in text and in binary', async () => {
  await using db = await connect('types')
  await db.query(`CREATE TABLE t (id INT PRIMARY KEY, ti TINYINT, ub BIGINT UNSIGNED, de DECIMAL(20,6), fl FLOAT, dou DOUBLE, ch CHAR(5), vc VARCHAR(20),
    bi BINARY(4), vb VARBINARY(9), tx TEXT, bl BLOB, da DATE, dt DATETIME(6), ts TIMESTAMP(3) NULL, ti2 TIME(2), y YEAR, b BIT(10), e ENUM('a','b'), s SET('x','y','z'), j JSON)`)
  await db.query(`INSERT INTO t VALUES (1,-128,18446744073709551615,'-1234.5',1.1,2.5e-10,'ab  ','grün',x'0102',x'ff00','text',x'00ff','2024-02-29',
    '2024-01-02 03:04:05.678901','2024-01-02 03:04:05.678','-12:34:56.789',2024,b'1000000001','b','z,x','{"b": [1, 2.5, null], "a": "ü"}')`)
  const expected = [
    [
      1,
      -128,
      '18446744073709551615',
      '-1234.500000',
      1.1,
      2.5e-10,
      'ab',
      'grün',
      Buffer.from('01020000', 'hex'),
      Buffer.from('ff00', 'hex'),
      'text',
      Buffer.from('00ff', 'hex'),
      '2024-02-29',
      '2024-01-02 03:04:05.678901',
      '2024-01-02 03:04:05.678',
      '-12:34:56.79',
      2024,
      Buffer.from('0201', 'hex'),
      'b',
      'x,z',
      { a: 'ü', b: [1, 2.5, null] },
    ],
  ]
  assert.deepEqual(await rows(db, 'SELECT * FROM t'), expected)
  const [binary] = await db.execute({ sql: 'SELECT * FROM t WHERE id = ?', rowsAsArray: true }, [1])
  const close = JSON.parse(
    JSON.stringify(binary, (_key, value: unknown) => (value === 1.100000023841858 ? 1.1 : value)),
  )
  assert.deepEqual(close, JSON.parse(JSON.stringify(expected)))
})

test('values that do not fit are errors with MySQL numbers and change nothing', async () => {
  await using db = await connect('strict')
  await db.query(
    `CREATE TABLE t (id INT PRIMARY KEY, ti TINYINT, ut TINYINT UNSIGNED, de DECIMAL(4,2), vc VARCHAR(3), da DATE, dt DATETIME, e ENUM('a'), b BIT(2), j JSON, nn INT NOT NULL)`,
  )
  const cases = [
    ['ti', '128', 1264],
    ['ut', '-1', 1264],
    ['de', '100', 1264],
    ['ti', "'abc'", 1366],
    ['ti', "'1x'", 1265],
    ['vc', "'abcd'", 1406],
    ['da', "'2024-02-30'", 1292],
    ['da', "'0000-00-00'", 1292],
    ['dt', "'nonsense'", 1292],
    ['dt', '-1.5', 1292],
    ['e', "'c'", 1265],
    ['b', '4', 1406],
    ['j', "'{'", 3140],
    ['nn', 'NULL', 1048],
  ] as const
  for (const [column, value, errno] of cases)
    await refused(
      db,
      `INSERT INTO t (id, nn, ${column}) VALUES (1, 1, ${value})`.replace(
        '(id, nn, nn) VALUES (1, 1, ',
        '(id, nn) VALUES (1, ',
      ),
      errno,
    )
  await refused(db, 'INSERT INTO t (id) VALUES (1)', 1364)
  await refused(db, 'INSERT INTO t (id, nn) VALUES (1, 1), (2, 1 / 0)', 1365)
  assert.deepEqual(await rows(db, 'SELECT * FROM t'), [])
  await db.query("SET sql_mode = ''")
  await db.query("INSERT INTO t (id, ti, vc, e, nn) VALUES (1, 300, 'abcdef', 'c', 0)")
  assert.deepEqual(await rows(db, 'SELECT ti, vc, e FROM t'), [[127, 'abc', '']])
})

test('primary and unique keys are kept, whatever statement writes', async () => {
  await using db = await connect('unique_keys')
  await db.query('CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(10) UNIQUE, c INT, KEY k (c))')
  await db.query("INSERT INTO t VALUES (1,'x',1),(2,'y',1),(3,NULL,2),(4,NULL,2)")
  await refused(db, "INSERT INTO t VALUES (1,'z',1)", 1062)
  await refused(db, "INSERT INTO t VALUES (5,'x',1)", 1062)
  await refused(db, "INSERT INTO t VALUES (5,'p',1),(5,'q',1)", 1062)
  await refused(db, "UPDATE t SET b = 'x' WHERE a = 2", 1062)
  await refused(db, 'UPDATE t SET a = 1 WHERE a = 2', 1062)
  const [replaced] = await db.query("REPLACE INTO t VALUES (1,'y',9)")
  assert.equal('affectedRows' in replaced && replaced.affectedRows, 3)
  const [updated] = await db.query("INSERT INTO t VALUES (1,'n',7) ON DUPLICATE KEY UPDATE c = VALUES(c) + c")
  assert.equal('affectedRows' in updated && updated.affectedRows, 2)
  assert.deepEqual(await rows(db, 'SELECT * FROM t ORDER BY a'), [
    [1, 'y', 16],
    [3, null, 2],
    [4, null, 2],
  ])
  assert.deepEqual(await rows(db, 'SELECT a FROM t WHERE c = 2 ORDER BY a'), [[3], [4]])
  await db.query('UPDATE t SET a = a + 10, c = 5 WHERE c = 2')
  assert.deepEqual(await rows(db, "SELECT a FROM t WHERE c = 5 OR b = 'y'"), [[1], [13], [14]])
})

test('a transaction sees its own writes, others see them after commit', async () => {
  await using one = await connect('txn')
  await using two = await connect('txn')
  await one.query('CREATE TABLE t (a INT PRIMARY KEY, b INT)')
  await one.query('BEGIN')
  await one.query('INSERT INTO t VALUES (1, 1), (2, 2)')
  await refused(one, 'INSERT INTO t VALUES (3, 3), (1, 1)', 1062)
  assert.deepEqual(await rows(one, 'SELECT * FROM t'), [
    [1, 1],
    [2, 2],
  ])
  assert.deepEqual(await rows(two, 'SELECT * FROM t'), [])
  assert.notDeepEqual(await rows(one, 'SELECT @@tidb_current_ts'), [[0]])
  await one.query('COMMIT')
  assert.deepEqual(await rows(two, 'SELECT COUNT(*) FROM t'), [[2]])
  await one.query('SET autocommit = 0')
  await one.query('DELETE FROM t')
  await one.query('ROLLBACK')
  assert.deepEqual(await rows(two, 'SELECT COUNT(*) FROM t'), [[2]])
})

test('of two transactions that write one row, the second to commit fails with 9007', async () => {
  await using one = await connect('conflict')
  await using two = await connect('conflict')
  await one.query('CREATE TABLE t (a INT PRIMARY KEY, b INT)')
  await one.query('INSERT INTO t VALUES (1, 0)')
  for (const db of [one, two]) {
    await db.query('BEGIN')
    await db.query('UPDATE t SET b = b + 1 WHERE a = 1')
  }
  await one.query('COMMIT')
  await refused(two, 'COMMIT', 9007)
  await Promise.all(
    Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? one : two).query('UPDATE t SET b = b + 1 WHERE a = 1')),
  )
  assert.deepEqual(await rows(one, 'SELECT b FROM t'), [[11]])
})

test('DDL waits for transactions that use the table', async () => {
  await using one = await connect('mdl')
  await using two = await connect('mdl')
  await one.query('CREATE TABLE t (a INT PRIMARY KEY)')
  await one.query('BEGIN')
  await one.query('INSERT INTO t VALUES (1)')
  let altered = false
  const ddl = two.query('ALTER TABLE t ADD COLUMN b INT DEFAULT 4').then(() => (altered = true))
  await one.query('INSERT INTO t VALUES (2)')
  assert.equal(altered, false)
  await one.query('COMMIT')
  await ddl
  assert.deepEqual(await rows(one, 'SELECT * FROM t'), [
    [1, 4],
    [2, 4],
  ])
})

test('columns can be added, dropped, moved, renamed and widened', async () => {
  await using db = await connect('columns')
  await db.query('CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(5), b INT NOT NULL, KEY ab (a, b))')
  await db.query("INSERT INTO t VALUES (1, 'x', 2)")
  await db.query("ALTER TABLE t ADD COLUMN c DATETIME(3) NOT NULL DEFAULT '2020-01-01' AFTER id")
  await db.query('ALTER TABLE t ADD COLUMN d INT NOT NULL')
  await db.query('ALTER TABLE t MODIFY COLUMN b BIGINT NOT NULL FIRST')
  await db.query('ALTER TABLE t CHANGE COLUMN a name VARCHAR(50) NOT NULL COMMENT "it"')
  assert.deepEqual(await rows(db, 'SELECT * FROM t'), [[2, 1, '2020-01-01 00:00:00.000', 'x', 0]])
  assert.deepEqual(await rows(db, "SELECT id FROM t WHERE name = 'x' AND b = 2"), [[1]])
  await refused(db, 'ALTER TABLE t DROP COLUMN name', 8200)
  await db.query('ALTER TABLE t DROP INDEX ab, DROP COLUMN d')
  await db.query('ALTER TABLE t DROP COLUMN name')
  assert.deepEqual(await rows(db, 'SELECT * FROM t'), [[2, 1, '2020-01-01 00:00:00.000']])
})

test('an index is filled from the rows, a unique one not over duplicates', async () => {
  await using db = await connect('fill')
  await db.query('CREATE TABLE t (a INT, b INT)')
  await db.query('INSERT INTO t VALUES (1, 1), (2, 1), (3, NULL)')
  await refused(db, 'ALTER TABLE t ADD UNIQUE KEY u (b)', 1062)
  await db.query('CREATE UNIQUE INDEX ua ON t (a)')
  await db.query('ALTER TABLE t ADD KEY kb (b)')
  assert.deepEqual(await rows(db, 'SELECT a FROM t WHERE b = 1 ORDER BY a'), [[1], [2]])
  await refused(db, 'INSERT INTO t VALUES (3, 3)', 1062)
})

test('every schema change leaves a finished job with the statement and the new table', async () => {
  await using db = await connect('jobs')
  await db.query('CREATE TABLE t (a INT PRIMARY KEY)')
  await db.query('ALTER TABLE t ADD COLUMN b INT')
  await db.query('TRUNCATE TABLE t')
  await db.query('RENAME TABLE t TO u')
  await db.query('DROP TABLE u')
  const { start, end } = jobHistoryRange()
  const jobs = []
  for await (const pairs of store.snapshot(await store.timestamp(signal)).scan(start, end, signal))
    for (const { value } of pairs) jobs.push(parseDdlJob(value))
  const own = jobs.filter((job) => job.schemaName === 'jobs')
  assert.deepEqual(
    own.map((job) => [job.type, job.query]),
    [
      [1, 'CREATE DATABASE IF NOT EXISTS jobs'],
      [3, 'CREATE TABLE t (a INT PRIMARY KEY)'],
      [5, 'ALTER TABLE t ADD COLUMN b INT'],
      [11, 'TRUNCATE TABLE t'],
      [14, 'RENAME TABLE t TO u'],
      [4, 'DROP TABLE u'],
    ],
  )
})

test('the job with state done is committed together with the change that it tells of', async () => {
  await using db = await connect('done')
  await db.query('CREATE TABLE t (a INT PRIMARY KEY, b INT)')
  await db.query('ALTER TABLE t ADD INDEX k (b), ADD COLUMN c INT')
  const { start, end } = jobHistoryRange()
  const jobs = []
  for await (const pairs of store.snapshot(await store.timestamp(signal)).scan(start, end, signal))
    for (const { value } of pairs) jobs.push(parseDdlJob(value))
  const last = jobs.filter((job) => job.tableName === 't' && job.schemaName === 'done').at(-1)
  assert.ok(last)
  const jobTable = await store.snapshot(await store.timestamp(signal)).get(tableKey(1n, DDL_JOB_TABLE_ID), signal)
  assert.ok(jobTable)
  const info = parseTableInfo(jobTable)
  const meta = info.columns.filter(({ name }) => name.lower === 'job_meta')
  const key = recordKey(DDL_JOB_TABLE_ID, intHandle(last.id))
  const decode = compileRowDecoder(info, meta, utcZone)
  const [deleted, done, queued] = store.history(key)
  assert.equal(deleted?.value, undefined)
  const jobOf = (value: Uint8Array | undefined): ReturnType<typeof parseDdlJob> => {
    const [json] = decode(key, value ?? new Uint8Array(0))
    assert.ok(json instanceof Uint8Array)
    return parseDdlJob(json)
  }
  assert.equal(jobOf(queued?.value).state, JobState.Queueing)
  const job = jobOf(done?.value)
  assert.equal(job.state, JobState.Done)
  assert.equal(job.type, 61)
  const version = store.history(schemaVersionKey()).find(({ commitTs }) => commitTs === done?.commitTs)
  assert.equal(Buffer.from(version?.value ?? []).toString(), String(job.result?.schemaVersion))
  const stored = store.history(tableKey(job.schemaId, job.tableId))[0]
  assert.equal(stored?.commitTs, done?.commitTs)
  assert.deepEqual(job.result?.table, parseTableInfo(stored?.value ?? ''))
})

test('SELECT filters, groups, joins, orders and limits', async () => {
  await using db = await connect('queries')
  await db.query('CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(9), c DECIMAL(6,2)); CREATE TABLE u (a INT, d INT)')
  await db.query("INSERT INTO t VALUES (1,'x',1.5),(2,'y',2.5),(3,'x',NULL); INSERT INTO u VALUES (1,10),(1,11),(2,20)")
  const cases: readonly (readonly [string, unknown[]])[] = [
    ['SELECT a FROM t WHERE b LIKE "x%" AND a BETWEEN 1 AND 2', [[1]]],
    [
      'SELECT b, COUNT(*), SUM(c), MAX(a) FROM t GROUP BY b ORDER BY b',
      [
        ['x', 2, '1.50', 3],
        ['y', 1, '2.50', 2],
      ],
    ],
    ['SELECT b FROM t GROUP BY b HAVING COUNT(*) > 1', [['x']]],
    [
      'SELECT t.a, u.d FROM t LEFT JOIN u ON t.a = u.a ORDER BY t.a, u.d DESC',
      [
        [1, 11],
        [1, 10],
        [2, 20],
        [3, null],
      ],
    ],
    ['SELECT DISTINCT b FROM t ORDER BY 1 DESC LIMIT 1', [['y']]],
    ['SELECT a FROM t ORDER BY a DESC LIMIT 1, 1', [[2]]],
    ['SELECT a FROM t WHERE a IN (SELECT a FROM u) ORDER BY a', [[1], [2]]],
    ['SELECT (SELECT MAX(d) FROM u) + 1', [[21]]],
    ['SELECT a FROM t UNION SELECT d FROM u ORDER BY a LIMIT 2', [[1], [2]]],
    ['SELECT IFNULL(c, 0), CASE WHEN a > 1 THEN "big" ELSE "small" END FROM t WHERE a = 3', [[0, 'big']]],
    ['SELECT COUNT(*) FROM t WHERE c IS NULL', [[1]]],
    ['SELECT 7 DIV 2, 7 / 2, 7 % 4, -7, 1 = 1.0, "a" = "A", NULL <=> NULL', [[3, '3.5000', 3, -7, 1, 0, 1]]],
    [
      'SELECT DATE_ADD("2024-01-31", INTERVAL 1 MONTH), DATEDIFF("2024-03-01", "2024-02-01"), CONCAT("a", 1, NULL)',
      [['2024-02-29', 29, null]],
    ],
  ]
  for (const [sql, expected] of cases) assert.deepEqual(await rows(db, sql), expected, sql)
  assert.deepEqual(await rows(db, "SELECT 'a-b/c.d' LIKE 'a-_/c.%', HEX(9223372036854775807), HEX(-1)"), [
    [1, '7FFFFFFFFFFFFFFF', 'FFFFFFFFFFFFFFFF'],
  ])
  await refused(db, 'SELECT 1 + 9223372036854775807', 1690)
  await refused(db, 'SELECT CAST(1 AS UNSIGNED) - 2', 1690)
  await refused(db, 'SELECT a, COUNT(*) FROM t', 1140)
  await refused(db, 'SELECT nope FROM t', 1054)
  await refused(db, 'SELECT * FROM nope', 1146)
  await refused(db, 'SELECT NOPE(1)', 1305)
  await refused(db, 'SELEC 1', 1064)
})

test('what is not supported is refused by name', async () => {
  await using db = await connect('unsupported')
  await refused(db, 'SAVEPOINT a', 1235)
  await refused(db, 'CREATE TABLE t (a INT, FULLTEXT KEY (a))', 1235)
  await refused(db, 'CREATE TABLE t (a VARCHAR(5) COLLATE utf8mb4_german2_ci)', 1273)
})

test('TIMESTAMP follows the session, DATETIME does not', async () => {
  await using db = await connect('zones')
  await db.query(
    "SET time_zone = '+08:00'; CREATE TABLE t (a INT PRIMARY KEY, ts TIMESTAMP, dt DATETIME, d TIMESTAMP DEFAULT '2024-01-01 08:00:00')",
  )
  await db.query("INSERT INTO t (a, ts, dt) VALUES (1, '2024-06-01 08:00:00', '2024-06-01 08:00:00')")
  await db.query("SET time_zone = 'UTC'")
  assert.deepEqual(await rows(db, 'SELECT ts, dt, d FROM t'), [
    ['2024-06-01 00:00:00', '2024-06-01 08:00:00', '2024-01-01 00:00:00'],
  ])
  await db.query("SET time_zone = 'Europe/Berlin'")
  await refused(db, "INSERT INTO t (a, ts) VALUES (2, '2024-03-31 02:30:00')", 1292)
  await refused(db, "SET time_zone = 'Nowhere/Land'", 1298)
  await db.query(
    "SET time_zone = 'UTC'; INSERT INTO t (a, ts) VALUES (3, '2024-10-27 01:30:00'); SET time_zone = 'Europe/Berlin'; UPDATE t SET dt = NULL WHERE a = 3; SET time_zone = 'UTC'",
  )
  assert.deepEqual(await rows(db, 'SELECT ts FROM t WHERE a = 3'), [['2024-10-27 01:30:00']])
})

test('prepared statements take every kind of parameter', async () => {
  await using db = await connect('prepared')
  await db.query(
    'CREATE TABLE t (id BIGINT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(20), b BLOB, n INT, d DATETIME(3), f DOUBLE)',
  )
  const insert = 'INSERT INTO t (s, b, n, d, f) VALUES (?, ?, ?, ?, ?)'
  const [first] = await db.execute(insert, ['ä', Buffer.from([0, 255]), 5, '2024-01-02 03:04:05.678', 1.5])
  const [second] = await db.execute(insert, [null, null, null, null, null])
  assert.deepEqual(
    [first, second].map((result) => 'insertId' in result && result.insertId),
    [1, 2],
  )
  const [found] = await db.execute(
    { sql: 'SELECT * FROM t WHERE id = ? OR n IS NULL ORDER BY id', rowsAsArray: true },
    [1],
  )
  assert.deepEqual(found, [
    [1, 'ä', Buffer.from([0, 255]), 5, '2024-01-02 03:04:05.678', 1.5],
    [2, null, null, null, null, null],
  ])
})

test('AUTO_INCREMENT counts on behind values that were given', async () => {
  await using db = await connect('auto')
  await db.query('CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v INT) AUTO_INCREMENT = 10')
  await db.query('INSERT INTO t (v) VALUES (1), (2)')
  await db.query('INSERT INTO t VALUES (50, 3)')
  await db.query('INSERT INTO t VALUES (0, 4), (NULL, 5)')
  assert.deepEqual((await rows(db, 'SELECT id FROM t')).flat(), [10, 11, 50, 51, 52])
  assert.deepEqual(await rows(db, 'SELECT LAST_INSERT_ID()'), [[51]])
  await db.query('TRUNCATE TABLE t; INSERT INTO t (v) VALUES (1)')
  assert.deepEqual(await rows(db, 'SELECT id FROM t'), [[1]])
})
