// TiKV's own Java client reads what the playground's SQL front wrote: its catalog the metadata, its row codec the rows.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { createConnection } from 'mysql2/promise'
import { silentLog } from '../../src/base/log.ts'
import { startPlayground } from '../../src/playground/playground.ts'
import { run } from '../support/process.ts'
import { requireOrSkip } from '../support/require.ts'
import { available, classPath } from '../support/tikv-java.ts'

const program = join(import.meta.dirname, 'java-client', 'Codec.java')

interface Case {
  readonly type: string
  /** MySQL type code. */
  readonly code: number
  /** SQL literal → what the Java client makes of it: class and text; byte strings as Latin-1. */
  readonly values: Readonly<Record<string, string>>
}

const one = (type: string, code: number, values: Readonly<Record<string, string>>): Case => ({ type, code, values })

/** VECTOR is missing, the client does not know it. */
const CASES: readonly Case[] = [
  one('TINYINT', 1, { '-128': 'Long:-128', '127': 'Long:127' }),
  one('SMALLINT', 2, { '-32768': 'Long:-32768', '0': 'Long:0' }),
  one('MEDIUMINT', 9, { '8388607': 'Long:8388607' }),
  one('INT', 3, { '-2147483648': 'Long:-2147483648' }),
  one('BIGINT', 8, {
    '9223372036854775807': 'Long:9223372036854775807',
    '-9223372036854775808': 'Long:-9223372036854775808',
  }),
  // The client reads unsigned integers in their stored width as signed ones.
  one('TINYINT UNSIGNED', 1, { '127': 'Long:127', '255': 'Long:-1' }),
  one('BIGINT UNSIGNED', 8, { '5': 'Long:5', '18446744073709551615': 'Long:-1' }),
  one('FLOAT', 4, { '1.5': 'Float:1.5', '0.1': 'Float:0.1' }),
  one('DOUBLE', 5, { '-1e100': 'Double:-1.0E100', '0': 'Double:0.0' }),
  one('DECIMAL(20,5)', 246, { '-12.345': 'BigDecimal:-12.34500', '0': 'BigDecimal:0.00000' }),
  one('DECIMAL(65,30)', 246, {
    '-12345678901234567890.000000000000000000000000000001':
      'BigDecimal:-12345678901234567890.000000000000000000000000000001',
  }),
  one('DATE', 10, { "'2024-02-29'": 'Date:2024-02-29' }),
  one('DATETIME(6)', 12, { "'2024-02-29 01:02:03.456789'": 'Timestamp:2024-02-29 01:02:03.456789' }),
  one('TIMESTAMP(3)', 7, { "'2024-02-29 01:02:03.456'": 'Timestamp:2024-02-29 01:02:03.456' }),
  one('TIME(3)', 11, { "'-100:00:01.5'": 'Long:-360001500000000', "'12:00:00'": 'Long:43200000000000' }),
  one('YEAR', 13, { '2024': 'Long:2024' }),
  one('CHAR(10)', 254, { "'abc  '": 'String:abc' }),
  one('VARCHAR(10)', 15, { "'漢字😀'": 'String:漢字😀', "''": 'String:' }),
  one('BINARY(4)', 254, { "'ab'": 'String:ab\0\0' }),
  one('TEXT', 252, { "'Zürich'": 'byte[]:Zürich' }),
  one('BLOB', 252, { "x'00417f'": 'byte[]:\0A\x7f' }),
  one("ENUM('a','b','c')", 247, { "'b'": 'String:b' }),
  one("SET('a','b','c')", 248, { "'a,c'": 'String:a,c' }),
  one('BIT(10)', 16, { "b'1001000001'": 'byte[]:\x02A' }),
  one('JSON', 245, { '\'{"a": [1, "x", null, true]}\'': 'String:{"a":[1,"x",null,true]}' }),
]

const PARTITIONED = [
  'CREATE TABLE partitioned (id BIGINT PRIMARY KEY, v INT) PARTITION BY HASH (id) PARTITIONS 4',
  'INSERT INTO partitioned VALUES (1, 10), (2, 20), (3, 30), (4, 40)',
] as const

const OTHERS = [
  'CREATE TABLE indexed (a INT NOT NULL, b VARCHAR(20), c INT, UNIQUE KEY u (a, b), KEY k (c))',
  "INSERT INTO indexed VALUES (1, 'x', 2)",
  'CREATE TABLE altered (id BIGINT PRIMARY KEY, v INT)',
  'INSERT INTO altered VALUES (1, 2)',
  "ALTER TABLE altered ADD COLUMN w VARCHAR(10) DEFAULT 'late'",
] as const

test(`the Java client decodes rows of ${CASES.length} types, and reads the catalog`, async (t) => {
  if (!(await requireOrSkip(t, available))) return
  await using playground = await startPlayground(
    { host: '127.0.0.1', pdPort: 0, sqlPort: 0, adminPort: 0, stores: 3, log: silentLog },
    AbortSignal.timeout(60_000),
  )
  const [host = '', port = ''] = playground.sql.split(':')
  const sql = await createConnection({ host, port: Number(port), user: 'root', database: 'test' })
  let hasPartitions = true
  try {
    for (const [at, { type, values }] of CASES.entries()) {
      await sql.query(`CREATE TABLE t${at} (id BIGINT PRIMARY KEY, v ${type}, n ${type})`)
      const rows = Object.keys(values).map((literal, id) => `(${id}, ${literal}, NULL)`)
      await sql.query(`INSERT INTO t${at} VALUES ${rows.join(', ')}`)
    }
    for (const statement of OTHERS) await sql.query(statement)
    try {
      for (const statement of PARTITIONED) await sql.query(statement)
    } catch (error) {
      hasPartitions = false
      t.diagnostic(`left out: partitioned tables: ${String(error)}`)
    }
  } finally {
    sql.destroy()
  }
  const options = ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-cp', classPath('client')]
  await using java = await run('java', [...options, program, new URL(playground.pd).host, 'test'])
  assert.equal(await java.exited, 0, java.lines.join('\n'))
  const lines = java.stdout.map((line) => line.split('\t'))
  const of = (kind: string, table: string): string[][] =>
    lines.filter(([first, name]) => first === kind && name === table).map((fields) => fields.slice(2))
  const rowsOf = (table: string): string[][] => of('row', table).map((fields) => fields.slice(1).map(readable))

  for (const [at, { type, code, values }] of CASES.entries()) {
    assert.deepEqual(
      of('column', `t${at}`).map(([name, found]) => [name, Number(found)]),
      [
        ['id', 8],
        ['v', code],
        ['n', code],
      ],
      type,
    )
    const wanted = Object.values(values).map((text, id) => [`Long:${id}`, text, 'null'])
    assert.deepEqual(rowsOf(`t${at}`), wanted, type)
  }
  if (hasPartitions) {
    assert.deepEqual(of('table', 'partitioned'), [['true', '4']])
    const rows = rowsOf('partitioned').toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1))
    assert.deepEqual(
      rows,
      [1, 2, 3, 4].map((id) => [`Long:${id}`, `Long:${id * 10}`]),
    )
  }
  assert.deepEqual(of('index', 'indexed'), [
    ['u', 'true', 'a,b'],
    ['k', 'false', 'c'],
  ])
  assert.deepEqual(rowsOf('indexed'), [['Long:1', 'String:x', 'Long:2']])
  // The client knows no origin defaults.
  assert.deepEqual(rowsOf('altered'), [['Long:1', 'Long:2', 'null']])
  const rows = lines.filter(([kind]) => kind === 'row')
  t.diagnostic(`read by the Java client: ${CASES.length} types, ${rows.length} rows`)
})

/** `class:base64` as `class:text`. */
function readable(field: string): string {
  const [name, text] = field.split(':')
  return text === undefined ? field : `${name}:${Buffer.from(text, 'base64').toString()}`
}
