/** The benchmark's tables: what their rows look like, in TiDB's types and as SQL. */
import { parseTableInfo } from '../src/tidb/table-info-json.ts'
import type { FieldType } from '../src/tidb/table-info.ts'
import type { Value } from '../src/tidb/value.ts'

export interface BenchTable {
  readonly name: string
  readonly ddl: string
  /** Of the primary key, `id`. */
  readonly key: FieldType
  /** Columns `c2`, `c3`, … after the primary key `id`; their ids are from 2 on. */
  readonly columns: readonly { readonly type: FieldType; readonly value: (id: number) => Value }[]
}

interface ColumnKind {
  readonly sql: string
  readonly Tp: number
  readonly Flen: number
  readonly Decimal?: number
  readonly Charset?: string
}

/** Parsed once per kind, by its SQL. */
const types = new Map<string, FieldType>()

/** A column: its kind and the value in the row of an id. */
type Spec = readonly [kind: ColumnKind, value: (id: number) => Value]

const INT = { sql: 'INT', Tp: 3, Flen: 11 }
const BIGINT = { sql: 'BIGINT', Tp: 8, Flen: 20 }
const DOUBLE = { sql: 'DOUBLE', Tp: 5, Flen: 22 }
const DECIMAL = { sql: 'DECIMAL(18,4)', Tp: 246, Flen: 18, Decimal: 4 }
const DATETIME = { sql: 'DATETIME(3)', Tp: 12, Flen: 23, Decimal: 3 }
const DATE = { sql: 'DATE', Tp: 10, Flen: 10 }
const TIMESTAMP = { sql: 'TIMESTAMP', Tp: 7, Flen: 19, Decimal: 0 }
const JSON_TYPE = { sql: 'JSON', Tp: 245, Flen: -1 }
const varchar = (length: number) => ({ sql: `VARCHAR(${length})`, Tp: 15, Flen: length, Charset: 'utf8mb4' })

/** Pseudo-random 32 bits of a seed. */
function scramble(seed: number): number {
  let x = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return (x ^ (x >>> 16)) >>> 0
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789 ,.-ABCDEFGHIJKLMNOPQRSTUVWX'
const NOISE = Buffer.from(Array.from({ length: 1 << 16 }, (_, at) => LETTERS[scramble(at) % LETTERS.length]).join(''))
/** A piece of noise: no compression makes much of it. */
const text =
  (length: number) =>
  (id: number): Value => {
    const from = scramble(id * 131 + length) % (NOISE.length - length)
    return NOISE.subarray(from, from + length)
  }
const integer = (id: number): Value => id % 1_000_000
const time = (id: number): Value => `2026-03-0${1 + (id % 9)} 10:20:30`

const letters = (length: number): Spec => [varchar(Math.ceil(length * 1.1)), text(length)]

/** Four shapes of ten columns; a row is about 280 bytes. */
const SPECS: Readonly<Record<string, readonly Spec[]>> = {
  numbers: [
    ...Array.from({ length: 4 }, (): Spec => [BIGINT, integer]),
    [INT, integer],
    [DOUBLE, (id) => id / 7],
    [DECIMAL, (id) => `${id % 100000}.1234`],
    letters(90),
    letters(100),
  ],
  strings: [
    letters(50),
    letters(40),
    letters(45),
    letters(55),
    letters(30),
    [INT, integer],
    [INT, integer],
    [BIGINT, integer],
    [varchar(20), () => null],
  ],
  times: [
    [DATETIME, (id) => `${time(id)}.123`],
    [TIMESTAMP, time],
    [DATE, () => '2026-03-04'],
    [DATETIME, (id) => `${time(id)}.456`],
    letters(70),
    letters(80),
    letters(60),
    [BIGINT, integer],
    [INT, integer],
  ],
  mixed: [
    [JSON_TYPE, (id) => `{"id": ${id % 1000}, "tags": ["a", "b"]}`],
    [DECIMAL, (id) => `${id % 1000}.5000`],
    letters(90),
    letters(80),
    [INT, integer],
    [DOUBLE, (id) => id * 1.5],
    [DATE, () => '2025-12-31'],
    [BIGINT, integer],
    [varchar(20), () => Buffer.from('München')],
  ],
}

export const TABLES: readonly BenchTable[] = Object.entries(SPECS).map(([name, specs]) => table(name, specs))

/** Tables of which hardly two have the same columns: each takes nine at random out of the four shapes'. */
export function manyTables(count: number): readonly BenchTable[] {
  const pool = Object.values(SPECS).flat()
  return Array.from({ length: count }, (_, at) => {
    const specs = Array.from({ length: 9 }, (_none, column) => pool[scramble(at * 16 + column) % pool.length])
    return table(
      `t${at}`,
      specs.filter((spec) => spec !== undefined),
    )
  })
}

/** Four tables of so many columns with the key: a third each of integers, decimals or times, and text of `textBytes`. */
export function wideTables(columns: number, textBytes: number): readonly BenchTable[] {
  return Array.from({ length: 4 }, (_, at) => {
    const kinds: readonly Spec[] = [
      [BIGINT, (id) => id * 7 + at],
      [DATETIME, (id) => `${time(id)}.123`],
      letters(textBytes),
      [INT, integer],
      [DECIMAL, (id) => `${id % 100000}.1234`],
      letters(textBytes),
    ]
    const specs = Array.from({ length: columns - 1 }, (_none, column) => kinds[(column + at) % kinds.length])
    return table(
      `w${columns}_${at}`,
      specs.filter((spec) => spec !== undefined),
    )
  })
}

function table(name: string, specs: readonly Spec[]): BenchTable {
  const columns = specs.map(([{ sql }], at) => `c${at + 2} ${sql}`).join(', ')
  return {
    name,
    ddl: `CREATE TABLE ${name} (id BIGINT PRIMARY KEY, ${columns})`,
    key: fieldType(BIGINT),
    columns: specs.map(([kind, value]) => ({ type: fieldType(kind), value })),
  }
}

function fieldType(kind: ColumnKind): FieldType {
  let found = types.get(kind.sql)
  if (found === undefined) types.set(kind.sql, (found = parseType(kind)))
  return found
}

function parseType({ Tp, Flen, Decimal = 0, Charset = 'binary' }: ColumnKind): FieldType {
  const type = { Tp, Flen, Decimal, Charset, Collate: Charset === 'binary' ? 'binary' : 'utf8mb4_bin', Flag: 0 }
  const cols = [{ id: 1, name: { O: 'c', L: 'c' }, offset: 0, type, state: 5, version: 2 }]
  const parsed = parseTableInfo(JSON.stringify({ id: 1, name: { O: 't', L: 't' }, cols, state: 5 })).columns[0]
  if (parsed === undefined) throw new TypeError('a table of one column')
  return parsed.type
}
