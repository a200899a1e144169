// `npm run bench -- --only codec`: what encoding costs per row, for each protocol and three shapes of tables, beside
// JSON.stringify of the same row and avsc's encoder as ceilings. Lines and JSON file as bench.ts says.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import avsc from 'avsc'
import { codecSettings } from '../test/support/codec-settings.ts'
import { memoryRegistry } from '../test/support/memory-registry.ts'
import { testTable } from '../test/support/table-version.ts'
import { createProtocol } from '../src/codec/protocols.ts'
import type { CodecSettings } from '../src/config/sink-settings.ts'
import { Messages } from '../src/event/encoded.ts'
import type { RowChange, Values } from '../src/event/row-change.ts'
import type { TableVersion } from '../src/event/table-version.ts'
import { Ts } from '../src/tidb/ts.ts'
import type { Bench, Unit } from './case.ts'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Tables as users have them: a few numbers; an order; many columns with long text. */
const SHAPES: Readonly<
  Record<string, { readonly columns: Readonly<Record<string, string>>; row(id: number): Values }>
> = {
  narrow: {
    columns: { id: 'bigint primary key', a: 'int', b: 'bigint' },
    row: (id) => [id, id % 1000, id * 7],
  },
  order: {
    columns: {
      id: 'bigint primary key',
      customer: 'int unsigned not null',
      state: "enum('new','paid','sent')",
      total: 'decimal(12,2)',
      created: 'datetime(3)',
      changed: 'timestamp',
      address: 'varchar(200)',
      note: 'json',
    },
    row: (id) => [
      id,
      (id * 31) % 100_000,
      1 + (id % 3),
      `${id % 5000}.25`,
      '2026-02-03 04:05:06.789',
      '2026-02-03 04:05:06',
      utf8(`Street ${id % 1000}, 12345 Somewhere`),
      '{"gift": true, "lines": [1, 2, 3]}',
    ],
  },
  wide: {
    columns: {
      id: 'bigint primary key',
      ...Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`n${i}`, i % 2 === 0 ? 'int' : 'double'])),
      ...Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`t${i}`, 'varchar(100)'])),
      body: 'text',
    },
    row: (id) => [
      id,
      ...Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? id + i : id + i / 8)),
      ...Array.from({ length: 9 }, (_, i) => utf8(`value ${i} of row ${id}`)),
      utf8('a long text that says a lot '.repeat(20)),
    ],
  },
}

type Case = Partial<CodecSettings> & Pick<CodecSettings, 'protocol'>

/** Protocol and what it is told; a line per way of encoding. */
const CASES: Readonly<Record<string, Case>> = {
  'open-protocol': { protocol: 'open-protocol' },
  'canal-json': { protocol: 'canal-json' },
  avro: { protocol: 'avro', enableTidbExtension: true },
  maxwell: { protocol: 'maxwell' },
  'simple-json': { protocol: 'simple', simple: { encoding: 'json', bootstrap: undefined } },
  'simple-avro': { protocol: 'simple', simple: { encoding: 'avro', bootstrap: undefined } },
  debezium: { protocol: 'debezium' },
  csv: { protocol: 'csv' },
}

const ROWS = 256

type Figures = readonly (readonly [name: string, value: number, unit: Unit])[]

/** Each case has an isolate of its own, so that none runs code that the others made polymorphic. */
export async function benchCodecs({ report, quick }: Pick<Bench, 'report' | 'quick'>): Promise<void> {
  for (const name of [...Object.keys(CASES), ...Object.keys(CEILINGS)]) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { bench: name, rounds: quick ? 200 : 2000 } })
    const figures = await new Promise<Figures>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
    for (const figure of figures) report(...figure)
    await worker.terminate()
  }
}

async function measure(name: string, rounds: number): Promise<Figures> {
  const figures: [string, number, Unit][] = []
  for (const [shape, example] of Object.entries(SHAPES)) {
    const table = testTable({ columns: example.columns, table: shape })
    const rows = Array.from({ length: ROWS }, (_, id) => change(id, example.row(id)))
    const settings = CASES[name]
    const encode = settings === undefined ? await CEILINGS[name]?.(table, rows) : await encoderOf(table, rows, settings)
    if (encode === undefined) throw new RangeError(`no case ${name}`)
    let bytes = 0
    const ns = nsPerRow(rounds, () => {
      bytes = encode()
    })
    const prefix = settings === undefined ? 'ceiling' : 'codec'
    figures.push([`${prefix}-${name}-${shape}-ns-per-row`, ns, 'ns'])
    figures.push([`${prefix}-${name}-${shape}-bytes-per-row`, bytes / ROWS, 'bytes'])
  }
  return figures
}

/** Encodes all rows once; the bytes that came of it. */
type EncodeAll = () => number

const CEILINGS: Readonly<Record<string, (table: TableVersion, rows: readonly RowChange[]) => Promise<EncodeAll>>> = {
  async 'json-stringify'(table, rows) {
    const objects = rows.map(({ after }) => plainRow(table, after ?? []))
    return () => objects.reduce((bytes, object) => bytes + JSON.stringify(object).length, 0)
  },
  async avsc(table, rows) {
    const { type, records } = await avscOf(table, rows)
    return () => records.reduce((bytes, record) => bytes + type.toBuffer(record).length, 0)
  },
}

function change(id: number, after: Values): RowChange {
  const commitTs = Ts(450_000_000_000_000_000n + BigInt(Math.floor(id / 4)))
  return { startTs: commitTs, commitTs, before: undefined, after }
}

async function encoderOf(table: TableVersion, rows: readonly RowChange[], settings: Case): Promise<EncodeAll> {
  const protocol = createProtocol(codecSettings(settings), { timeZone: 'UTC', registry: memoryRegistry() })
  await protocol.prepare?.(table, 'topic', new AbortController().signal)
  const encoder = protocol.compile(table)
  return () => {
    const messages = new Messages()
    for (const row of rows) encoder.encode(row, 0, messages)
    encoder.flush(messages)
    return [...messages].reduce((bytes, { key, value }) => bytes + (key?.length ?? 0) + (value?.length ?? 0), 0)
  }
}

/** Best of five, each after a warm-up. */
function nsPerRow(rounds: number, work: () => void): number {
  for (let i = 0; i < rounds / 10; i++) work()
  let best = Infinity
  for (let attempt = 0; attempt < 5; attempt++) {
    const began = process.hrtime.bigint()
    for (let i = 0; i < rounds / 5; i++) work()
    best = Math.min(best, Number(process.hrtime.bigint() - began) / ((rounds / 5) * ROWS))
  }
  return best
}

/** A row as a program would hold it that encodes with a library. */
function plainRow(table: TableVersion, values: Values): Record<string, unknown> {
  return Object.fromEntries(
    table.columns.map(({ name }, at) => {
      const value = values[at] ?? null
      return [name, value instanceof Uint8Array ? new TextDecoder().decode(value) : value]
    }),
  )
}

/** The schema that avro registers, without extension and logical types, and its records as avsc takes them. */
async function avscOf(table: TableVersion, rows: readonly RowChange[]) {
  const registry = memoryRegistry()
  const base = codecSettings({ protocol: 'avro' })
  const settings = { ...base, avro: { ...base.avro, decimalMode: 'string' } } as const
  const protocol = createProtocol(settings, { timeZone: 'UTC', registry })
  await protocol.prepare?.(table, 'topic', new AbortController().signal)
  const [text = ''] = registry.subjects.get('topic-value') ?? []
  const type = avsc.Type.forSchema(JSON.parse(text), { wrapUnions: false })
  const records = rows.map(({ after }) => {
    const record = plainRow(table, after ?? [])
    for (const { name, info } of table.columns)
      if (info.type.elems.length > 0) record[name] = info.type.elems[Number(record[name]) - 1]
    return record
  })
  return { type, records }
}

if (!isMainThread && typeof workerData?.bench === 'string')
  parentPort?.postMessage(await measure(workerData.bench, workerData.rounds))
