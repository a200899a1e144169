import assert from 'node:assert/strict'
import { test } from 'node:test'

import { encodeJson } from '../../tidb/json-binary-encode.ts'
import { MysqlType } from '../../tidb/table-info.ts'
import { openTestServer, refused, rows } from './server.fixture.ts'

test('VECTOR, charsets and JSON doubles are stored as TiDB stores them', async () => {
  await using server = await openTestServer()
  await using db = await server.connect('types')
  await db.query(`CREATE TABLE t (id INT PRIMARY KEY, v VECTOR(3), w VECTOR, g VARCHAR(9) CHARACTER SET gbk, l VARCHAR(9) CHARACTER SET latin1,
    b VARCHAR(9) CHARACTER SET gb18030, a CHAR(4) CHARACTER SET ascii, u VARCHAR(9) CHARACTER SET utf8, j JSON)`)
  await db.query(
    `INSERT INTO t VALUES (1, '[1,-2.5,3e2]', '[]', '一二', 'é', '😀', 'abc', 'ü', '{"d": 1.0, "i": 1, "t": "😀"}')`,
  )
  await db.query('UPDATE t SET id = 2')
  assert.deepEqual(await rows(db, 'SELECT v, w, g, l, b, a, u, CAST(j AS CHAR) FROM t'), [
    ['[1,-2.5,300]', '[]', '一二', 'é', '😀', 'abc', 'ü', '{"d": 1, "i": 1, "t": "😀"}'],
  ])
  const { columns } = await server.table('types', 't')
  const json = columns.findIndex(({ name }) => name.lower === 'j')
  const [stored] = await server.storedRows('types', 't', ({ type }) => ({
    ...type,
    ...(type.tp === MysqlType.Json ? { tp: MysqlType.LongBlob } : {}),
  }))
  assert.deepEqual(stored?.[json], encodeJson('{"d": 1.0, "i": 1, "t": "😀"}'))
  await refused(db, "INSERT INTO t (id, g) VALUES (3, '😀')", 1366)
  await refused(db, "INSERT INTO t (id, a) VALUES (3, 'ü')", 1366)
  await refused(db, "INSERT INTO t (id, v) VALUES (3, '[1,2]')", 1105)
})

for (const collate of [
  'utf8mb4_general_ci',
  'utf8mb4_unicode_ci',
  'utf8mb4_0900_ai_ci',
  'utf8mb4_bin',
  'gbk_chinese_ci',
  'gb18030_chinese_ci',
])
  test(`a clustered key in ${collate} keeps its text`, async () => {
    await using server = await openTestServer()
    await using db = await server.connect('clustered')
    const charset = collate.replace(/_.*/, '')
    await db.query(
      `CREATE TABLE t (k VARCHAR(20) CHARACTER SET ${charset} COLLATE ${collate}, n INT, v INT, PRIMARY KEY (k, n), UNIQUE KEY u (k, v), KEY p (k(2)))`,
    )
    await db.query("INSERT INTO t VALUES ('Ab', 1, 1), ('cD ', 2, 2)")
    const isCi = collate.endsWith('_ci')
    assert.deepEqual(await rows(db, "SELECT k FROM t WHERE k = 'aB' AND n = 1"), isCi ? [['Ab']] : [])
    assert.deepEqual(await rows(db, 'SELECT k, n FROM t ORDER BY n'), [
      ['Ab', 1],
      ['cD ', 2],
    ])
    if (isCi) await refused(db, "INSERT INTO t VALUES ('AB', 1, 9)", 1062)
    await db.query('DELETE FROM t')
    assert.equal(await server.keysOf('clustered', 't'), 0)
  })

test('a clustered key may be a prefix', async () => {
  await using server = await openTestServer()
  await using db = await server.connect('prefix')
  await db.query('CREATE TABLE t (k VARCHAR(20), b BLOB, v INT, PRIMARY KEY (k(2), b(3)), KEY kv (v))')
  await db.query("INSERT INTO t VALUES ('abcdef', 'xyz123', 1)")
  await refused(db, "INSERT INTO t VALUES ('abzzzz', 'xyz', 1)", 1062)
  assert.deepEqual(await rows(db, "SELECT k FROM t WHERE k = 'abcdef'"), [['abcdef']])
  assert.deepEqual(await rows(db, 'SELECT k FROM t WHERE v = 1'), [['abcdef']])
})

test('zero and invalid dates are stored where sql_mode allows them', async () => {
  await using server = await openTestServer()
  await using db = await server.connect('dates')
  await db.query('CREATE TABLE t (id INT PRIMARY KEY, d DATE NOT NULL, dt DATETIME(3), ts TIMESTAMP NULL)')
  await refused(db, "INSERT INTO t VALUES (1, '0000-00-00', NULL, NULL)", 1292)
  await db.query("SET sql_mode = ''")
  await db.query(
    "INSERT INTO t VALUES (1, '0000-00-00', '2020-00-00', '0000-00-00'), (2, '2021-04-31', '2020-01-00 01:02:03.4', 'x')",
  )
  assert.deepEqual(await rows(db, 'SELECT CAST(d AS CHAR), CAST(dt AS CHAR), CAST(ts AS CHAR) FROM t ORDER BY id'), [
    ['0000-00-00', '2020-00-00 00:00:00.000', '0000-00-00 00:00:00'],
    ['0000-00-00', '2020-01-00 01:02:03.400', '0000-00-00 00:00:00'],
  ])
  await db.query("SET sql_mode = 'ALLOW_INVALID_DATES'")
  await db.query("INSERT INTO t VALUES (3, '2021-04-31', '2021-02-31 00:00:00', NULL)")
  assert.deepEqual(await rows(db, 'SELECT CAST(d AS CHAR), CAST(dt AS CHAR) FROM t WHERE id = 3'), [
    ['2021-04-31', '2021-02-31 00:00:00.000'],
  ])
})
