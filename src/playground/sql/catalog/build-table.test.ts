import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

import { listOf, objectOf, parseJson } from '../../../tidb/json-big.ts'
import { stringifyTableInfo, tableInfoOf } from '../../../tidb/table-info-json.ts'
import { FieldFlag } from '../../../tidb/table-info.ts'
import type { ColumnInfo } from '../../../tidb/table-info.ts'
import { parseQuery } from '../parser/parser.ts'
import type { CastContext } from '../value/cast.ts'
import { textCollation } from '../value/collation.ts'
import { utc } from '../value/time-zone.ts'
import { buildTable } from './build-table.ts'
import { showCreateTable } from './show-create.ts'

const cast: CastContext = {
  zone: utc,
  strict: true,
  noZeroDate: true,
  noZeroInDate: true,
  today: { year: 2024, month: 1, day: 1 },
  warn() {},
}

function build(sql: string, id = 1n): ReturnType<typeof buildTable> {
  const [parsed] = parseQuery(Buffer.from(sql).toString('latin1'), { ansiQuotes: false, noBackslashEscapes: false })
  assert.ok(parsed?.statement.kind === 'createTable')
  return buildTable(parsed.statement, id, textCollation, cast)
}

/** Statements for the tables that were captured from TiDB v8.5.6, and for one made of every type. */
const CAPTURED = [
  ['minimal', 'CREATE TABLE minimal (id BIGINT PRIMARY KEY, v BIGINT NOT NULL)'],
  [
    'shapes',
    `CREATE TABLE shapes (id BIGINT PRIMARY KEY, amount BIGINT NOT NULL, big BIGINT UNSIGNED NOT NULL, ratio DOUBLE NOT NULL,
     tag CHAR(8) NOT NULL, name VARCHAR(32) NOT NULL, price DECIMAL(10,2) NOT NULL)`,
  ],
] as const

for (const [name, sql] of CAPTURED)
  test(`${name} is stored as TiDB stores it`, () => {
    const file = readFileSync(
      join(import.meta.dirname, '..', '..', '..', 'tidb', 'vectors', `tableinfo-${name}.json`),
      'utf8',
    )
    const expected = objectOf(objectOf(parseJson(file))['table_info'])
    const { id, updateTs } = tableInfoOf(expected)
    assert.deepEqual(parseJson(stringifyTableInfo({ ...build(sql, id), updateTs })), expected)
  })

/** What was made after TiDB's structures, not captured: columns, keys and partitions must be the same. */
const MADE = [
  [
    'generated',
    `CREATE TABLE gen (id INT PRIMARY KEY, a INT, v INT AS (a + 1), s INT AS (a * 2) STORED, KEY idx ((a * 3)))`,
  ],
  [
    'clustered-ci-collation',
    'CREATE TABLE ci_pk (k VARCHAR(20) COLLATE utf8mb4_general_ci, v INT, PRIMARY KEY (k) CLUSTERED)',
  ],
  [
    'gbk-latin1',
    `CREATE TABLE cs (id INT PRIMARY KEY, g VARCHAR(20) CHARACTER SET gbk, l VARCHAR(20) CHARACTER SET latin1,
     a VARCHAR(20) CHARACTER SET ascii, b VARBINARY(20))`,
  ],
] as const

for (const [name, sql] of MADE)
  test(`${name} has the columns and keys that TiDB gives it`, () => {
    const file = readFileSync(
      join(import.meta.dirname, '..', '..', '..', 'tidb', 'vectors', `tableinfo-${name}.json`),
      'utf8',
    )
    const expected = objectOf(objectOf(parseJson(file))['table_info'])
    // The made file leaves the key flag of a hidden column out, which TiDB sets as of any other.
    const plain = ({ hidden, type, ...rest }: ColumnInfo): ColumnInfo => ({
      ...rest,
      hidden,
      type: hidden ? { ...type, flag: type.flag & ~FieldFlag.MultipleKey } : type,
    })
    const info = build(sql)
    const own = objectOf(parseJson(stringifyTableInfo({ ...info, columns: info.columns.map(plain) })))
    const keys = listOf(own['index_info']).map((index) => ({ ...objectOf(index), tbl_name: expected['name'] ?? null }))
    assert.deepEqual(own['cols'], expected['cols'])
    assert.deepEqual(keys, listOf(expected['index_info']))
    for (const key of ['pk_is_handle', 'is_common_handle', 'common_handle_version', 'max_col_id', 'max_idx_id'])
      assert.deepEqual(own[key], expected[key], key)
  })

test('every type has the field type that TiDB gives it', () => {
  const file = readFileSync(
    join(import.meta.dirname, '..', '..', '..', 'tidb', 'vectors', 'tableinfo-all-types.json'),
    'utf8',
  )
  const expected = tableInfoOf(objectOf(objectOf(parseJson(file))['table_info']))
  const own =
    build(`CREATE TABLE all_types (id BIGINT PRIMARY KEY, c_tiny TINYINT, c_utiny TINYINT UNSIGNED, c_small SMALLINT, c_usmall SMALLINT UNSIGNED,
    c_medium MEDIUMINT, c_umedium MEDIUMINT UNSIGNED, c_int INT, c_uint INT UNSIGNED, c_big BIGINT, c_ubig BIGINT UNSIGNED, c_float FLOAT, c_double DOUBLE,
    c_dec DECIMAL(20,6), c_udec DECIMAL(10,2) UNSIGNED, c_date DATE, c_datetime DATETIME(6), c_ts TIMESTAMP(3) NULL, c_time TIME(3), c_year YEAR, c_char CHAR(10),
    c_varchar VARCHAR(64), c_binary BINARY(4), c_varbinary VARBINARY(16), c_tinytext TINYTEXT, c_text TEXT, c_mediumtext MEDIUMTEXT, c_longtext LONGTEXT,
    c_tinyblob TINYBLOB, c_blob BLOB, c_mediumblob MEDIUMBLOB, c_longblob LONGBLOB, c_enum ENUM('a','b','c'), c_set SET('x','y','z'), c_bit BIT(10), c_json JSON)`)
  const types = new Map(expected.columns.map(({ name, type }) => [name.lower, type]))
  for (const { name, type } of own.columns) assert.deepEqual(type, types.get(name.lower), name.original)
})

test('SHOW CREATE TABLE gives back what makes the same table', () => {
  const sql = `CREATE TABLE t (a INT UNSIGNED NOT NULL, b VARCHAR(10) COLLATE utf8mb4_general_ci DEFAULT 'x''y', c DATETIME(2) DEFAULT CURRENT_TIMESTAMP(2) ON UPDATE CURRENT_TIMESTAMP(2),
    d BIT(3) DEFAULT b'101', e ENUM('p','q') NOT NULL DEFAULT 'q', f DECIMAL(5,2) DEFAULT -1.5 COMMENT 'it''s', g TIMESTAMP NULL DEFAULT '2024-01-01', h TEXT,
    PRIMARY KEY (a, b), UNIQUE KEY u (c), KEY k (h(10), e)) COMMENT = 'table'`
  const first = build(sql)
  const database = { id: 1n, name: { original: 'd', lower: 'd' }, charset: 'utf8mb4', collate: 'utf8mb4_bin', state: 5 }
  const shown = showCreateTable({ database, info: first, stored: {} }, 1n, utc)
  assert.deepEqual(build(shown), first)
})

const REFUSED = [
  ['CREATE TABLE t (a INT, A INT)', 1060],
  ['CREATE TABLE t (a INT PRIMARY KEY, b INT, PRIMARY KEY (b))', 1068],
  ['CREATE TABLE t (a INT, KEY k (b))', 1072],
  ['CREATE TABLE t (a TEXT, KEY k (a))', 1170],
  ['CREATE TABLE t (a JSON, KEY k (a))', 3152],
  ['CREATE TABLE t (a INT, KEY k (a(3)))', 1089],
  ['CREATE TABLE t (a INT AUTO_INCREMENT)', 1075],
  ['CREATE TABLE t (a INT DEFAULT "x")', 1067],
  ['CREATE TABLE t (a TEXT DEFAULT "x")', 1101],
  ['CREATE TABLE t (a DECIMAL(66,2))', 1426],
  ['CREATE TABLE t (a DATETIME(7))', 1426],
  ['CREATE TABLE t (a VARCHAR(20000))', 1074],
  ['CREATE TABLE t (a INT NULL PRIMARY KEY)', 1171],
  ["CREATE TABLE t (a ENUM('x','x'))", 1291],
  ['CREATE TABLE t (a INT, KEY k (a), KEY K (a))', 1061],
  ['CREATE TABLE t (a VARCHAR(1000), KEY k (a))', 1071],
] as const
for (const [sql, errno] of REFUSED)
  test(`${sql} is refused with ${errno}`, () => assert.throws(() => build(sql), { errno }))
