/**
 * Random DML and DDL against a SQL front, with a memory of every row version that was committed. Each write gives its row
 * a `v` that no other write has, so a version that is lost on the way is noticed by name.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Connection, createConnection } from 'mysql2/promise'
import type { Random } from './random.ts'

/** A row as text, column → value as MySQL prints it, or null. */
export type RowText = Readonly<Record<string, string | null>>

/** One committed version of a row, or its deletion (`row` undefined). */
export interface Version {
  readonly table: string
  /** Values of the key columns, joined. */
  readonly key: string
  readonly row: RowText | undefined
}

interface TableShape {
  readonly name: string
  readonly ddl: string
  readonly keyColumns: readonly string[]
  /** A row for a key number; `v` is added. */
  readonly row: (id: number, random: Random) => RowText
}

const word = (random: Random): string =>
  random.pick(['', 'plain', 'mit Umlaut äöü', '漢字', '"quoted"', 'back\\slash', 'tab\there', '😀', "it's"])

const SHAPES: readonly TableShape[] = [
  {
    name: 'accounts',
    ddl: 'CREATE TABLE accounts (id BIGINT PRIMARY KEY, v BIGINT NOT NULL, name VARCHAR(64), balance DECIMAL(20,4), opened DATETIME(3), note JSON)',
    keyColumns: ['id'],
    row: (id, random) => ({
      id: String(id),
      name: random.chance(0.1) ? null : word(random),
      balance: `${random.below(1_000_000)}.${String(random.below(10_000)).padStart(4, '0')}`,
      opened: `2026-0${1 + random.below(9)}-1${random.below(10)} 0${random.below(10)}:11:22.${100 + random.below(900)}`,
      note: random.pick([null, '{"a": 1}', '[1, "zwei", null]']),
    }),
  },
  {
    name: 'positions',
    ddl: 'CREATE TABLE positions (book VARCHAR(20), line INT UNSIGNED, v BIGINT NOT NULL, amount BIGINT UNSIGNED, tag BINARY(4), PRIMARY KEY (book, line) CLUSTERED)',
    keyColumns: ['book', 'line'],
    row: (id, random) => ({
      book: `book ${id % 7}`,
      line: String(4_000_000_000 + id),
      amount: random.pick(['0', '18446744073709551615', '9223372036854775808']),
      tag: random.pick([null, 'abcd', 'wxyz']),
    }),
  },
  {
    name: 'events',
    ddl: 'CREATE TABLE events (code INT NOT NULL, v BIGINT NOT NULL, day DATE, at TIME, body TEXT, UNIQUE KEY (code), KEY (day))',
    keyColumns: ['code'],
    row: (id, random) => ({
      code: String(id),
      day: random.pick([null, '2026-02-28', '1999-12-31']),
      at: random.pick(['12:34:56', '-01:00:00', '100:00:00']),
      body: word(random).repeat(1 + random.below(20)),
    }),
  },
]

export interface WorkloadOptions {
  /** host:port of the SQL front. */
  readonly sql: string
  readonly database: string
  readonly random: Random
  /** Statements with DDL in between them, or DML alone. */
  readonly ddl: boolean
  readonly writers: number
}

export interface Workload extends AsyncDisposable {
  readonly versions: readonly Version[]
  readonly tables: () => readonly string[]
  /** Runs so many transactions in all, spread over the writers. */
  run(transactions: number): Promise<void>
  /** One transaction that writes so many rows of a table, over and over the same keys; not while `run` is under way. */
  runLarge(rows: number): Promise<void>
  /** Rows of a table as the SQL front has them now, by key. */
  rows(table: string): Promise<Map<string, RowText>>
  query(sql: string): Promise<unknown>
}

interface LiveTable {
  readonly shape: TableShape
  name: string
  /** Columns that DDL added, all INT with a default. */
  readonly added: { readonly name: string; readonly value: string }[]
  /** Rows by key number, as committed. */
  readonly rows: Map<number, RowText>
}

const KEYS_PER_WRITER = 12
/** Key numbers of large transactions are above it. */
const LARGE_KEYS = 1_000_000
const ROWS_PER_STATEMENT = 200

export async function openWorkload(options: WorkloadOptions): Promise<Workload> {
  const { random, database } = options
  const [host = '127.0.0.1', port = '4000'] = options.sql.split(':')
  const connect = (): Promise<Connection> =>
    createConnection({
      host,
      port: Number(port),
      user: 'root',
      rowsAsArray: false,
      dateStrings: true,
      supportBigNumbers: true,
      bigNumberStrings: true,
      typeCast: (field) => field.string('utf8'),
    })
  const admin = await connect()
  await admin.query(`CREATE DATABASE IF NOT EXISTS ${database}`)
  await admin.query(`USE ${database}`)
  const writers: Connection[] = []
  for (let at = 0; at < options.writers; at++) {
    const writer = await connect()
    await writer.query(`USE ${database}`)
    writers.push(writer)
  }
  const live: LiveTable[] = []
  for (const shape of SHAPES) {
    await admin.query(shape.ddl)
    live.push({ shape, name: shape.name, added: [], rows: new Map() })
  }
  const versions: Version[] = []
  let nextV = 1
  let nextName = 1

  const transaction = async (writer: number): Promise<void> => {
    const connection = writers[writer]
    if (connection === undefined) throw new RangeError(`there is no writer ${writer}`)
    const changes = new Map<string, { table: LiveTable; id: number; row: RowText | undefined }>()
    const explicit = random.chance(0.6)
    if (explicit) await connection.query('BEGIN')
    const statements = explicit ? 1 + random.below(5) : 1
    for (let at = 0; at < statements; at++) {
      const table = random.pick(live)
      const id = writer * KEYS_PER_WRITER + random.below(KEYS_PER_WRITER)
      const slot = `${table.shape.name}/${id}`
      const now = changes.has(slot) ? changes.get(slot)?.row : table.rows.get(id)
      const row = { ...table.shape.row(id, random), v: String(nextV++) }
      const full = now === undefined ? { ...defaults(table), ...row } : { ...now, ...row }
      if (now === undefined) {
        await connection.query(insertSql(table, [row], random.chance(0.3) ? 'REPLACE' : 'INSERT'))
        changes.set(slot, { table, id, row: full })
      } else if (random.chance(0.25)) {
        await connection.query(`DELETE FROM ${table.name} WHERE ${keySql(table, now)}`)
        changes.set(slot, { table, id, row: undefined })
      } else if (random.chance(0.2)) {
        await connection.query(insertSql(table, [row], 'REPLACE'))
        changes.set(slot, { table, id, row: { ...defaults(table), ...row } })
      } else {
        const sets = Object.entries(row).filter(([name]) => !table.shape.keyColumns.includes(name))
        const list = sets.map(([name, value]) => `${name} = ${literal(value)}`).join(', ')
        await connection.query(`UPDATE ${table.name} SET ${list} WHERE ${keySql(table, now)}`)
        changes.set(slot, { table, id, row: full })
      }
    }
    if (explicit && random.chance(0.1)) {
      await connection.query('ROLLBACK')
      return
    }
    if (explicit) await connection.query('COMMIT')
    for (const { table, id, row } of changes.values()) {
      const before = table.rows.get(id)
      if (before === undefined && row === undefined) continue
      if (row === undefined) table.rows.delete(id)
      else table.rows.set(id, row)
      versions.push({ table: table.shape.name, key: keyOf(table.shape, row ?? before ?? {}), row })
    }
  }

  /** DDL between transactions: the writers stand still meanwhile. */
  const changeSchema = async (): Promise<void> => {
    const table = random.pick(live)
    const kind = random.below(5)
    if (kind === 0) {
      const added = { name: `extra${nextName++}`, value: String(random.below(100)) }
      await admin.query(`ALTER TABLE ${table.name} ADD COLUMN ${added.name} INT NOT NULL DEFAULT ${added.value}`)
      table.added.push(added)
      for (const [id, row] of table.rows) table.rows.set(id, { ...row, [added.name]: added.value })
    } else if (kind === 1) {
      const dropped = table.added.shift()
      if (dropped === undefined) return
      await admin.query(`ALTER TABLE ${table.name} DROP COLUMN ${dropped.name}`)
      for (const [id, { [dropped.name]: _, ...row }] of table.rows) table.rows.set(id, row)
    } else if (kind === 2) {
      const name = `${table.shape.name}_${nextName++}`
      await admin.query(`RENAME TABLE ${table.name} TO ${name}`)
      table.name = name
    } else if (kind === 3) {
      await admin.query(`CREATE INDEX by_v_${nextName++} ON ${table.name} (v)`)
    } else {
      await admin.query(`TRUNCATE TABLE ${table.name}`)
      table.rows.clear()
    }
  }

  return {
    versions,
    tables: () => live.map(({ name }) => name),
    async run(transactions) {
      const perRound = options.writers * 8
      for (let done = 0; done < transactions; done += perRound) {
        await Promise.all(
          writers.map(async (_, writer) => {
            for (let at = 0; at < perRound / options.writers; at++) {
              await transaction(writer)
              await nextTurn()
            }
          }),
        )
        if (options.ddl && random.chance(0.7)) await changeSchema()
      }
    },
    async runLarge(count) {
      const table = random.pick(live)
      const rows = new Map<number, RowText>()
      for (let at = 0; at < count; at++)
        rows.set(LARGE_KEYS + at, { ...table.shape.row(LARGE_KEYS + at, random), v: String(nextV++) })
      const all = [...rows.values()]
      await admin.query('BEGIN')
      for (let at = 0; at < all.length; at += ROWS_PER_STATEMENT)
        await admin.query(insertSql(table, all.slice(at, at + ROWS_PER_STATEMENT), 'REPLACE'))
      await admin.query('COMMIT')
      for (const [id, written] of rows) {
        const row = { ...defaults(table), ...written }
        table.rows.set(id, row)
        versions.push({ table: table.shape.name, key: keyOf(table.shape, row), row })
      }
    },
    async rows(name) {
      const table = live.find((candidate) => candidate.name === name)
      if (table === undefined) throw new RangeError(`there is no table ${name}`)
      const [found] = await admin.query(`SELECT * FROM ${name}`)
      if (!Array.isArray(found)) throw new TypeError('SELECT gives rows')
      const rows = found.map((row) => row as RowText)
      return new Map(rows.map((row) => [keyOf(table.shape, row), row]))
    },
    query: (sql) => admin.query(sql),
    async [Symbol.asyncDispose]() {
      for (const connection of [admin, ...writers]) connection.destroy()
    },
  }
}

/** The key columns of a table that a DDL may have renamed. */
export function keyColumnsOf(table: string): readonly string[] {
  const shape = SHAPES.find(({ name }) => table === name || table.startsWith(`${name}_`))
  if (shape === undefined) throw new RangeError(`table ${table} is not of the workload`)
  return shape.keyColumns
}

/** The table's first name. */
export const originOf = (table: string): string => table.replace(/_\d+$/, '')

const keyOf = (shape: TableShape, row: RowText): string => shape.keyColumns.map((name) => row[name]).join('|')

const defaults = (table: LiveTable): RowText => Object.fromEntries(table.added.map(({ name, value }) => [name, value]))

const literal = (value: string | null | undefined): string =>
  value === null || value === undefined
    ? 'NULL'
    : `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''").replaceAll('\t', '\\t')}'`

const keySql = (table: LiveTable, row: RowText): string =>
  table.shape.keyColumns.map((name) => `${name} = ${literal(row[name])}`).join(' AND ')

/** Rows of the same columns. */
function insertSql(table: LiveTable, rows: readonly RowText[], verb: 'INSERT' | 'REPLACE'): string {
  const columns = Object.keys(rows[0] ?? {}).join(', ')
  const values = rows.map((row) => `(${Object.values(row).map(literal).join(', ')})`)
  return `${verb} INTO ${table.name} (${columns}) VALUES ${values.join(', ')}`
}
