/**
 * What arrived in Kafka, read without any of Tidewire's own code, and held against what was written: nothing lost,
 * nothing out of order, nothing late below a watermark.
 */
import assert from 'node:assert/strict'
import type { ConsumedRecord } from './consumer.ts'
import { keyColumnsOf, originOf, type RowText, type Version } from './workload.ts'

interface At {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export interface DeliveredRow extends At {
  readonly kind: 'row'
  readonly table: string
  readonly op: 'insert' | 'update' | 'delete'
  readonly commitTs: bigint
  /** The row after the change, or the deleted one. */
  readonly row: RowText
  /** What an update says that the row was before; canal-json alone. */
  readonly before?: RowText
}

export interface DeliveredDdl extends At {
  readonly kind: 'ddl'
  readonly commitTs: bigint
  readonly table: string
  readonly sql: string
}

export interface DeliveredWatermark extends At {
  readonly kind: 'watermark'
  readonly ts: bigint
}

export type Delivered = DeliveredRow | DeliveredDdl | DeliveredWatermark

/** canal-json with `enable-tidb-extension`: one JSON object per record. */
export function readCanalJson(records: readonly ConsumedRecord[]): Delivered[] {
  return records.map(({ topic, partition, offset, value }) =>
    canalJsonMessage({ topic, partition, offset }, bytesOf(value).toString()),
  )
}

export function canalJsonMessage(at: At, text: string): Delivered {
  const message = exactJson(text)
  const { commitTs = 0n, watermarkTs = 0n } = message._tidb ?? {}
  if (message.type === 'TIDB_WATERMARK') return { ...at, kind: 'watermark', ts: BigInt(watermarkTs) }
  if (message.isDdl) return { ...at, kind: 'ddl', commitTs: BigInt(commitTs), table: message.table, sql: message.sql }
  const op = ({ INSERT: 'insert', UPDATE: 'update', DELETE: 'delete' } as const)[message.type as 'INSERT']
  assert.equal(message.data.length, 1)
  const before = message.old === null || message.old === undefined ? {} : { before: message.old[0] }
  return { ...at, kind: 'row', table: message.table, op, commitTs: BigInt(commitTs), row: message.data[0], ...before }
}

/** open-protocol: a version, then length-prefixed keys in the record's key and values in its value. */
export function readOpenProtocol(records: readonly ConsumedRecord[]): Delivered[] {
  return records.flatMap((record) => {
    const at = { topic: record.topic, partition: record.partition, offset: record.offset }
    const key = bytesOf(record.key)
    const value = bytesOf(record.value)
    assert.equal(key.readBigUInt64BE(0), 1n, 'the version of the protocol')
    const keys = lengthPrefixed(key.subarray(8)).map(exactJson)
    const values = lengthPrefixed(value)
    return keys.map((head, index): Delivered => {
      const commitTs = BigInt(head.ts)
      if (head.t === 3) return { ...at, kind: 'watermark', ts: commitTs }
      const body = exactJson(values[index] ?? '{}')
      if (head.t === 2) return { ...at, kind: 'ddl', commitTs, table: head.tbl ?? '', sql: body.q }
      const columns: Record<string, OpenColumn> = body.u ?? body.d
      const row = Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, textOf(column)]))
      const op = body.d ? 'delete' : body.p ? 'update' : 'insert'
      return { ...at, kind: 'row', table: head.tbl, op, commitTs, row }
    })
  })
}

interface OpenColumn {
  /** MySQL type code. */
  readonly t: number
  readonly v: string | number | bigint | null
}

/** BLOB and TEXT (codes 249 to 252) come in base64. */
const textOf = ({ t, v }: OpenColumn): string | null =>
  v === null ? null : t >= 249 && t <= 252 ? Buffer.from(String(v), 'base64').toString() : String(v)

/** Order per key and partition, watermarks and late rows; `delivered` is in the order of each partition's offsets. */
export function checkOrder(delivered: readonly Delivered[]): void {
  const partitions = Map.groupBy(delivered, ({ topic, partition }) => `${topic}/${partition}`)
  for (const [name, events] of partitions) {
    let watermark = 0n
    const seen = new Set<string>()
    const newest = new Map<string, { commitTs: bigint; last: bigint }>()
    for (const event of events) {
      const where = `${name} offset ${event.offset}`
      if (event.kind === 'watermark') {
        assert.ok(event.ts >= watermark, `${where}: watermark ${event.ts} after ${watermark}`)
        watermark = event.ts
        continue
      }
      const id = identityOf(event)
      const first = !seen.has(id)
      seen.add(id)
      assert.ok(!first || event.commitTs > watermark, `${where}: ${id} came first below watermark ${watermark}`)
      if (event.kind === 'ddl') continue
      const key = `${originOf(event.table)} ${rowKey(event)}`
      const before = newest.get(key)
      if (first && before !== undefined)
        assert.ok(event.commitTs >= before.commitTs, `${where}: ${id} came first after commitTs ${before.commitTs}`)
      const commitTs = before !== undefined && before.commitTs > event.commitTs ? before.commitTs : event.commitTs
      newest.set(key, { commitTs, last: event.commitTs })
    }
    for (const [key, { commitTs, last }] of newest)
      assert.equal(last, commitTs, `${name}: the last message of ${key} is not its newest version`)
  }
}

/** Every committed version is there with its values, and there is nothing that was never committed. */
export function checkVersions(delivered: readonly Delivered[], versions: readonly Version[]): void {
  const rows = delivered.filter((event) => event.kind === 'row')
  const arrived = new Map<string, DeliveredRow>()
  for (const row of rows) if (row.op !== 'delete') arrived.set(`${originOf(row.table)}/${row.row['v']}`, row)
  const committed = new Map<string, Version>()
  for (const version of versions)
    if (version.row !== undefined) committed.set(`${version.table}/${version.row['v']}`, version)
  const lost = [...committed].filter(([id]) => !arrived.has(id)).map(([id, { key }]) => `${id} (key ${key})`)
  assert.deepEqual(lost, [], 'committed versions that never arrived')
  const invented = [...arrived.keys()].filter((id) => !committed.has(id))
  assert.deepEqual(invented, [], 'messages of versions that were never committed')
  for (const [id, { row }] of committed) {
    const message = arrived.get(id)
    for (const [column, value] of Object.entries(row ?? {})) {
      // A column that a DDL drops or adds around the write may be missing on one side.
      if (message === undefined || !(column in message.row) || column.startsWith('extra')) continue
      assert.equal(message.row[column], value, `${id}: column ${column}`)
    }
  }
}

/** How many rows each commitTs changed: to compare with the store's history. */
export function commitCounts(delivered: readonly Delivered[]): Record<string, number> {
  const rows = new Map(delivered.filter((event) => event.kind === 'row').map((event) => [identityOf(event), event]))
  const counts: Record<string, number> = {}
  for (const { commitTs } of rows.values()) counts[`${commitTs}`] = (counts[`${commitTs}`] ?? 0) + 1
  return counts
}

/** The tables as a consumer has them that applies every change once, in the order of commitTs, DDL after rows. */
export function rebuild(delivered: readonly Delivered[]): Map<string, Map<string, RowText>> {
  const unique = new Map<string, DeliveredRow | DeliveredDdl>()
  for (const event of delivered) if (event.kind !== 'watermark') unique.set(identityOf(event), event)
  const rank = (event: DeliveredRow | DeliveredDdl): number =>
    event.kind === 'ddl' ? 3 : { delete: 0, update: 1, insert: 2 }[event.op]
  const ordered = [...unique.values()].toSorted((a, b) =>
    a.commitTs === b.commitTs ? rank(a) - rank(b) : a.commitTs < b.commitTs ? -1 : 1,
  )
  const tables = new Map<string, Map<string, RowText>>()
  for (const event of ordered) {
    if (event.kind === 'ddl') applyDdl(tables, event.sql)
    else if (event.op === 'delete') rowsOf(tables, event.table).delete(rowKey(event))
    else rowsOf(tables, event.table).set(rowKey(event), event.row)
  }
  return tables
}

/** The changefeed may have begun after the table was created. */
function rowsOf(tables: Map<string, Map<string, RowText>>, table: string): Map<string, RowText> {
  const rows = tables.get(table) ?? new Map<string, RowText>()
  tables.set(table, rows)
  return rows
}

/** The statements of the workload, after whatever rewriting: case, quotes and schema names do not matter. */
function applyDdl(tables: Map<string, Map<string, RowText>>, sql: string): void {
  const text = sql.replaceAll('`', '').replaceAll(/\s+/g, ' ').trim()
  const name = (part: string | undefined): string => part?.split('.').at(-1) ?? ''
  const [, created] = /^CREATE TABLE (?:IF NOT EXISTS )?([\w.]+)/i.exec(text) ?? []
  const [, from, to] = /^RENAME TABLE ([\w.]+) TO ([\w.]+)/i.exec(text) ?? []
  const [, truncated] = /^TRUNCATE (?:TABLE )?([\w.]+)/i.exec(text) ?? []
  const [, altered, verb, column, value] =
    /^ALTER TABLE ([\w.]+) (ADD|DROP) COLUMN (\w+)(?:.*DEFAULT '?(\d+)'?)?/i.exec(text) ?? []
  if (created !== undefined) tables.set(name(created), new Map())
  else if (from !== undefined) {
    tables.set(name(to), tables.get(name(from)) ?? new Map())
    tables.delete(name(from))
  } else if (truncated !== undefined) tables.get(name(truncated))?.clear()
  else if (altered !== undefined && column !== undefined) {
    const rows = tables.get(name(altered)) ?? new Map<string, RowText>()
    for (const [key, { [column]: _, ...rest }] of rows)
      rows.set(key, verb?.toUpperCase() === 'ADD' ? { ...rest, [column]: value ?? null } : rest)
  }
}

const rowKey = ({ table, row }: DeliveredRow): string =>
  keyColumnsOf(table)
    .map((name) => row[name])
    .join('|')

const identityOf = (event: DeliveredRow | DeliveredDdl): string =>
  event.kind === 'ddl'
    ? `ddl ${event.commitTs} ${event.sql}`
    : `${originOf(event.table)} ${rowKey(event)} ${event.commitTs} ${event.op}`

const bytesOf = (base64: string | null): Buffer => Buffer.from(base64 ?? '', 'base64')

function lengthPrefixed(bytes: Buffer): string[] {
  const texts: string[] = []
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64BE(at))
    texts.push(bytes.toString('utf8', at + 8, at + 8 + length))
    at += 8 + length
  }
  return texts
}

/** JSON whose integers beyond 2^53 become bigint. */
// eslint-disable-next-line typescript/no-explicit-any -- messages of two protocols, read member by member above
function exactJson(text: string): any {
  const exact = (_key: string, value: unknown, context?: { readonly source?: string }): unknown =>
    typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? '')
      ? BigInt(context?.source ?? '0')
      : value
  return JSON.parse(text, exact)
}
