// A zoo of tables (types × keys × charsets × defaults × partitions) under random DML and DDL goes to a real Kafka, and what
// arrives is compared row by row with SELECT. What the SQL front cannot make is left out, and printed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Connection, createConnection } from 'mysql2/promise'
import { available as pythonAvailable, consumeAll } from '../support/consumer.ts'
import { type Delivered, type DeliveredDdl, type DeliveredRow, readCanalJson } from '../support/delivered.ts'
import { available as kafkaAvailable, startKafka } from '../support/kafka.ts'
import { createRandom, type Random } from '../support/random.ts'
import { requireOrSkip } from '../support/require.ts'
import { caughtUp, cli, clusterTs, startPlayground, startServer } from '../support/stack.ts'
import { keysOf, TYPES, type ZooTable, zooTables } from '../support/zoo.ts'

const SEED = Number(process.env['TIDEWIRE_SEED'] ?? Date.now() % 1_000_000)
const WRITERS = 4
const DDLS = 33

test(`every row of the zoo arrives as SELECT shows it (seed ${SEED})`, async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable))) return
  await using kafka = await startKafka()
  await using playground = await startPlayground()
  await using server = await startServer({ pd: playground.pd, args: ['--tz', 'UTC'] })
  const random = createRandom(SEED)
  const connections = await Promise.all(Array.from({ length: WRITERS }, () => connect(playground.sql)))
  try {
    const [admin] = connections
    assert.ok(admin)
    const leftOut = new Map<string, number>()
    const tables = await createTables(connections, leftOut)
    assert.ok(tables.length >= 200, `the zoo has ${tables.length} tables only`)
    const uri = `kafka://${kafka.bootstrap}/zoo?protocol=canal-json&enable-tidb-extension=true&partition-num=3`
    await cli(server, 'changefeed', 'create', '--sink-uri', uri, '--changefeed-id', 'zoo', '--no-confirm')

    await share(connections, tables, (connection, table) => write(connection, table, random))
    const ddls = await changeSchemas(admin, tables, random, leftOut)
    for (const [reason, count] of leftOut) t.diagnostic(`left out: ${count} × ${reason}`)
    await share(connections, tables, (connection, table) => writeAgain(connection, table, random))

    await caughtUp(server, 'zoo', await clusterTs(server, playground.pd), 80_000)
    const delivered = readCanalJson(await consumeAll(kafka.bootstrap, ['zoo']))
    const rebuilt = rebuild(delivered)
    let rows = 0
    let values = 0
    for (const table of tables) {
      const found = await select(admin, table)
      rows += found.size
      const arrived = rebuilt.get(table.origin) ?? new Map<string, Row>()
      assert.deepEqual([...arrived.keys()].toSorted(), [...found.keys()].toSorted(), `keys of ${table.ddl}`)
      for (const [id, row] of found)
        for (const [column, text] of Object.entries(row)) {
          const message = arrived.get(id)
          // A row that was written before ADD COLUMN, and not since.
          if (message === undefined || !(column in message)) continue
          values++
          assert.equal(shown(table, column, message[column] ?? null), text, `${column} of row ${id} of ${table.ddl}`)
        }
    }
    assert.ok(rows > tables.length && values > 3 * rows, `only ${values} values of ${rows} rows were compared`)
    t.diagnostic(
      `${tables.length} tables of ${Object.keys(TYPES).length} types and ${keysOf.length} kinds of keys, ${ddls} DDLs, ${rows} rows and ${values} values compared, ${delivered.length} messages`,
    )
  } finally {
    for (const connection of connections) connection.destroy()
  }
})

type Row = Readonly<Record<string, string | null>>

async function connect(address: string): Promise<Connection> {
  const [host = '', port = ''] = address.split(':')
  const connection = await createConnection({
    host,
    port: Number(port),
    user: 'root',
    database: 'test',
    // The bytes of every value; what they mean is up to the table.
    typeCast: (field) => field.buffer()?.toString('latin1') ?? null,
  })
  await connection.query("SET time_zone = '+00:00', sql_mode = ''")
  return connection
}

/** Creates what can be created; where a table as a whole cannot, without what makes it special. */
async function createTables(connections: readonly Connection[], leftOut: Map<string, number>): Promise<ZooTable[]> {
  const made: ZooTable[] = []
  await share(connections, zooTables(), async (connection, variants) => {
    for (const table of variants)
      try {
        await connection.query(table.ddl)
        made.push(table)
        return
      } catch (error) {
        const reason = `${table.feature}: ${error instanceof Error ? error.message : String(error)}`
        leftOut.set(reason, (leftOut.get(reason) ?? 0) + 1)
      }
  })
  return made.toSorted((a, b) => (a.origin < b.origin ? -1 : 1))
}

/** Runs `work` over all items, each connection one at a time. */
async function share<T>(
  connections: readonly Connection[],
  items: readonly T[],
  work: (connection: Connection, item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values()
  await Promise.all(
    connections.map(async (connection) => {
      for (const item of queue) await work(connection, item)
    }),
  )
}

const insert = (table: ZooTable, id: number): string => {
  const literal = table.literals[id % table.literals.length] ?? 'NULL'
  return `INSERT INTO ${table.name} (id, v, n) VALUES (${id}, ${literal}, ${id % 2 === 0 ? 'NULL' : literal})`
}

/** One row per value, alone or in one transaction; then some of them change or go. */
async function write(connection: Connection, table: ZooTable, random: Random): Promise<void> {
  const together = random.chance(0.5)
  if (together) await connection.query('BEGIN')
  for (const id of table.literals.keys()) await connection.query(insert(table, id))
  if (together) await connection.query('COMMIT')
  await change(connection, table, random)
}

async function change(connection: Connection, table: ZooTable, random: Random): Promise<void> {
  const id = random.below(table.literals.length)
  const kind = random.below(4)
  if (kind === 0) await connection.query(`DELETE FROM ${table.name} WHERE id = ${id}`)
  else if (kind === 1)
    await connection.query(`UPDATE ${table.name} SET n = ${random.pick(table.literals)} WHERE id = ${id}`)
  else if (kind === 2) await connection.query(`UPDATE ${table.name} SET n = v`)
  else {
    await connection.query('BEGIN')
    await connection.query(`DELETE FROM ${table.name} WHERE id = ${id}`)
    await connection.query(insert(table, id))
    await connection.query('COMMIT')
  }
}

interface SchemaChange {
  readonly sql: string
  /** What the test has to know when it was done. */
  done?(): void
}

/** Tables to choose from: any, or those partitioned by RANGE. */
type Pick = (ranged?: boolean) => ZooTable

/** One way each to change a schema; `at` makes names that are not taken. undefined = not for this table. */
const SCHEMA_CHANGES: readonly ((pick: Pick, at: number, random: Random) => SchemaChange | undefined)[] = [
  (pick, at, random) => {
    const table = pick()
    const name = random.pick(Object.keys(TYPES))
    const { defaults = false, literals = [] } = TYPES[name] ?? {}
    const tail = defaults ? ` NOT NULL DEFAULT ${literals[0]}` : ''
    return {
      sql: `ALTER TABLE ${table.name} ADD COLUMN a${at} ${name}${tail}`,
      done: () => void table.columns.set(`a${at}`, name),
    }
  },
  (pick) => {
    const table = pick()
    if (!table.columns.has('d')) return undefined
    return { sql: `ALTER TABLE ${table.name} DROP COLUMN d`, done: () => void table.columns.delete('d') }
  },
  (pick, at) => {
    const table = pick()
    const name = `${table.origin}_${at}`
    return { sql: `RENAME TABLE ${table.name} TO ${name}`, done: () => void (table.name = name) }
  },
  (pick, at) => {
    const [a, b] = [pick(), pick()]
    if (a === b) return undefined
    const [nameA, nameB] = [`${a.origin}_${at}`, `${b.origin}_${at}`]
    return {
      sql: `RENAME TABLE ${a.name} TO ${nameA}, ${b.name} TO ${nameB}`,
      done: () => {
        a.name = nameA
        b.name = nameB
      },
    }
  },
  (pick) => ({ sql: `TRUNCATE TABLE ${pick().name}` }),
  (pick, at) => ({ sql: `ALTER TABLE ${pick().name} ADD INDEX k${at} (id)` }),
  (pick, at) => {
    const table = pick()
    return {
      sql: `ALTER TABLE ${table.name} ADD COLUMN m${at} INT DEFAULT 5, ADD INDEX km${at} (id)`,
      done: () => void table.columns.set(`m${at}`, 'INT'),
    }
  },
  (pick) => ({ sql: `ALTER TABLE ${pick().name} COMMENT = 'a comment'` }),
  (pick) => ({ sql: `ALTER TABLE ${pick(true).name} TRUNCATE PARTITION p0` }),
  (pick, at) => ({
    sql: `ALTER TABLE ${pick(true).name} REORGANIZE PARTITION p1 INTO (PARTITION q${at} VALUES LESS THAN (4), PARTITION p1 VALUES LESS THAN (MAXVALUE))`,
  }),
  (pick) => ({ sql: `ALTER TABLE ${pick(true).name} REMOVE PARTITIONING` }),
]

async function changeSchemas(
  admin: Connection,
  tables: readonly ZooTable[],
  random: Random,
  leftOut: Map<string, number>,
): Promise<number> {
  const ranged = tables.filter(({ ddl }) => ddl.includes('PARTITION BY RANGE'))
  let done = 0
  for (let at = 0; at < DDLS; at++) {
    const pick: Pick = (isRanged = false) => random.pick(isRanged && ranged.length > 0 ? ranged : tables)
    const change = SCHEMA_CHANGES[at % SCHEMA_CHANGES.length]?.(pick, at, random)
    if (change === undefined) continue
    try {
      await admin.query(change.sql)
    } catch (error) {
      const reason = `${change.sql}: ${error instanceof Error ? error.message : String(error)}`
      leftOut.set(reason, (leftOut.get(reason) ?? 0) + 1)
      continue
    }
    change.done?.()
    done++
  }
  return done
}

/** New rows beside the old ones, which some of the tables write again. */
async function writeAgain(connection: Connection, table: ZooTable, random: Random): Promise<void> {
  if (random.chance(0.3)) await change(connection, table, random)
  if (!table.keyIsValue) await connection.query(insert(table, table.literals.length + random.below(5)))
}

/** Rows by id as a consumer has them that applies everything in the order of commitTs, DDL after rows. */
function rebuild(delivered: readonly Delivered[]): Map<string, Map<string, Row>> {
  const changes = delivered.filter((event): event is DeliveredRow | DeliveredDdl => event.kind !== 'watermark')
  const rank = (event: DeliveredRow | DeliveredDdl): number =>
    event.kind === 'ddl' ? 3 : { delete: 0, update: 1, insert: 2 }[event.op]
  const ordered = changes.toSorted((a, b) =>
    a.commitTs === b.commitTs ? rank(a) - rank(b) : a.commitTs < b.commitTs ? -1 : 1,
  )
  const tables = new Map<string, Map<string, Row>>()
  for (const event of ordered) {
    const origin = event.table.replace(/_\d+$/, '')
    const rows = tables.get(origin) ?? new Map<string, Row>()
    tables.set(origin, rows)
    if (event.kind === 'ddl') {
      if (/^\s*TRUNCATE/i.test(event.sql)) rows.clear()
      // The first partition of RANGE holds the ids below 2.
      if (/TRUNCATE PARTITION/i.test(event.sql)) for (const id of ['0', '1']) rows.delete(id)
    } else if (event.op === 'delete') rows.delete(event.row['id'] ?? '')
    else rows.set(event.row['id'] ?? '', event.row)
  }
  return tables
}

/** Rows by id as SELECT shows them, each value in the form of {@link shown}. */
async function select(connection: Connection, table: ZooTable): Promise<Map<string, Row>> {
  const [found] = await connection.query(`SELECT ${[...table.columns.keys()].join(', ')} FROM ${table.name}`)
  assert.ok(Array.isArray(found))
  const rows = found.map((row) => {
    const entries = Object.entries(row as Record<string, string | null>)
    return Object.fromEntries(entries.map(([column, value]) => [column, selected(table, column, value)]))
  })
  return new Map(rows.map((row) => [row['id'] ?? '', row]))
}

/** A value of a message in the form that both sides are compared in. */
function shown(table: ZooTable, column: string, text: string | null): string | null {
  const kind = TYPES[table.columns.get(column) ?? '']?.kind
  if (text === null) return null
  if (kind === 'bytes') return Buffer.from(text, 'latin1').toString('hex')
  return kind === 'float' ? String(Number(text)) : text
}

/** Bytes of an answer, one character each, in that form. */
function selected(table: ZooTable, column: string, bytes: string | null): string | null {
  const name = table.columns.get(column) ?? ''
  const kind = TYPES[name]?.kind
  if (bytes === null) return null
  const raw = Buffer.from(bytes, 'latin1')
  const elements = [...name.matchAll(/'(\w+)'/g)].map(([, element = '']) => element)
  if (kind === 'bytes') return raw.toString('hex')
  if (kind === 'float') return String(Number(bytes))
  if (kind === 'bit') return String(BigInt(`0x${raw.toString('hex') || '0'}`))
  if (kind === 'enum') return String(elements.indexOf(bytes) + 1)
  if (kind === 'set')
    return String(bytes === '' ? 0 : bytes.split(',').reduce((mask, one) => mask + 2 ** elements.indexOf(one), 0))
  return raw.toString()
}
