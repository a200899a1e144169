import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import avsc from 'avsc'
import fc from 'fast-check'
import { allTypes } from '../../../test/support/all-types.ts'
import { tableAndRow, valuesByName } from '../../../test/support/arbitrary-row.ts'
import { codecSettings } from '../../../test/support/codec-settings.ts'
import { ddlEvent } from '../../../test/support/ddl-event.ts'
import { type TestTable, testTable } from '../../../test/support/table-version.ts'
import { CdcError } from '../../base/errors.ts'
import type { CodecSettings } from '../../config/sink-settings.ts'
import { type EncodedMessage, Messages } from '../../event/encoded.ts'
import type { RowChange, RowChecksums, Values } from '../../event/row-change.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { Ts } from '../../tidb/ts.ts'
import { decompressValue } from '../compress/compress.ts'
import type { Protocol } from '../protocol.ts'
import { createAvroFormat } from './avro.ts'
import { simpleDdlType } from './ddl-type.ts'
import { createSimpleDecoder, decodeSimpleMessage } from './decode.ts'
import { createSimple } from './encode.ts'
import { tableSchema, type TableSchema } from './table-schema.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR']
const file =
  folder === undefined ? join(import.meta.dirname, 'vectors/simple.json') : join(folder, 'protocols/simple.json')
const { vectors } = JSON.parse(readFileSync(file, 'utf8'))
const used = new Set<string>()
const vector = (id: string) => {
  used.add(id)
  return vectors.find((one: { id: string }) => one.id === id)
}
after(() => console.log(`simple vectors: ${used.size} of ${vectors.length}`))
const text = (bytes: Uint8Array | null | undefined): string => new TextDecoder().decode(bytes ?? new Uint8Array(0))
const utf8 = (value: string): Uint8Array => new TextEncoder().encode(value)
const commitTs = Ts(447984074911121426n)

const simple = (
  changes: Partial<CodecSettings> = {},
  encoding: 'json' | 'avro' = 'json',
  now = 1708923662983,
): Protocol =>
  createSimple(codecSettings({ protocol: 'simple', simple: { encoding, bootstrap: undefined }, ...changes }), {
    timeZone: 'Asia/Shanghai',
    now: () => now,
    newId: () => 'id',
  })

function encode(protocol: Protocol, table: TableVersion, row: RowChange): EncodedMessage {
  const messages = new Messages()
  const encoder = protocol.compile(table)
  encoder.encode(row, 3, messages)
  encoder.flush(messages)
  const [message, ...more] = messages
  assert.ok(message !== undefined && more.length === 0)
  assert.deepEqual([message.partition, message.key, message.rows], [3, null, 1])
  return message
}

interface RowOf {
  readonly before?: Values
  readonly after?: Values
  readonly ts?: bigint
  readonly checksum?: RowChecksums
}
const change = ({ before, after, ts = commitTs, checksum }: RowOf): RowChange => ({
  startTs: Ts(ts),
  commitTs: Ts(ts),
  before,
  after,
  ...(checksum && { checksum }),
})

/** With the ids of the samples, and lengths as TiDB fills them in. */
function sample(definition: TestTable, lengths: readonly number[], updateTs: bigint, id = 148n): TableVersion {
  const table = testTable({ physicalId: id, ...definition })
  const columns = table.info.columns.map((column, at) => ({
    ...column,
    type: { ...column.type, flen: lengths[at] ?? column.type.flen, decimal: 0 },
  }))
  return { ...table, info: { ...table.info, id, updateTs, columns } }
}

const user = (changes: Partial<TestTable> = {}, updateTs = 447984074911121426n): TableVersion =>
  sample(
    {
      schema: 'simple',
      table: 'user',
      columns: { id: 'int primary key', name: 'varchar(255)', age: 'int', score: 'float' },
      ...changes,
    },
    [11, 255, 11, 12, 19],
    updateTs,
  )
/** Its integer key has no index in TiDB. */
const withoutIndexes = (table: TableVersion): TableVersion => ({ ...table, info: { ...table.info, indexes: [] } })

test('simple-json-column: a column of a table schema', () => {
  const { tableSchema: written } = JSON.parse(text(simple().bootstrap?.(withoutIndexes(user())).value))
  assert.equal(JSON.stringify(written.columns[0]), JSON.stringify(vector('simple-json-column').value))
})

test('simple-json-insert, simple-json-update: rows', () => {
  const [table, john] = [withoutIndexes(user()), utf8('John Doe')]
  const insert = encode(simple(), table, change({ after: [1, john, 25, 90.5], ts: 447984084414103554n }))
  assert.equal(text(insert.value), vector('simple-json-insert').value)
  const update = change({ before: [1, john, 25, 90.5], after: [1, john, 25, 95], ts: 447984099186180098n })
  assert.equal(text(encode(simple({}, 'json', 1708923719184), table, update).value), vector('simple-json-update').value)
})

test('simple-json-watermark, simple-json-bootstrap, simple-json-ddl-alter', () => {
  const watermark = simple({}, 'json', 1708923816911).watermark(Ts(447984124732375041n))
  assert.equal(text(watermark?.value), vector('simple-json-watermark').value)
  const created = withoutIndexes(user({ table: 'new_user' }))
  const bootstrap = simple({}, 'json', 1708924603278).bootstrap?.(created)
  assert.equal(text(bootstrap?.value), vector('simple-json-bootstrap').value)
  const columns = { id: 'int primary key', name: 'varchar(255)', age: 'int', score: 'float', createTime: 'timestamp' }
  const ddl = simple({}, 'json', 1708936343598).ddl(
    ddlEvent({
      type: 5,
      query: 'ALTER TABLE `user` ADD COLUMN `createTime` TIMESTAMP',
      commitTs: Ts(447987408682614795n),
      before: withoutIndexes(user()),
      after: withoutIndexes(user({ columns }, 447987408682614791n)),
    }),
  )
  assert.equal(text(ddl?.value), vector('simple-json-ddl-alter').value)
  assert.equal(simple().ddlPartitions, 'all')
})

for (const [id, key] of [
  ['simple-tableschema-1', 'int primary key'],
  ['simple-tableschema-2', 'int primary key'],
] as const)
  test(id, () => {
    const columns = { id: key, name: 'varchar(64) not null', age: 'int', email: 'varchar(255) not null' }
    const indexes = [
      { name: 'idx_name', columns: ['name'], unique: true },
      { name: 'idx_age_email', columns: ['age', 'email'] },
    ]
    const table = sample({ columns, indexes }, [11, 64, 11, 255], 1n)
    const plain = { ...table, info: { ...table.info, indexes: table.info.indexes.filter(({ primary }) => !primary) } }
    const { tableSchema: written } = JSON.parse(text(simple().bootstrap?.(plain).value))
    const { value } = vector(id)
    assert.deepEqual({ columns: written.columns, indexes: written.indexes }, value)
  })

const ACTIONS = new Map(
  Object.entries({ '01': 2, '02': 1, '03': 3, '06': 12, '07': 12, '08': 15, '09': 15, '10': 13, '12': 12, '13': 7 }),
)
for (const [id, action] of Object.entries({ 15: 41, 19: 61, 20: 14, 21: 12, 22: 71, 23: 19, 24: 20, 25: 23, 26: 64 }))
  ACTIONS.set(id, action)
ACTIONS.set('27', 72).set('28', 17)

for (const { id, input, value } of vectors) {
  const [, number = ''] = /^simple-ddltype-(\d+)/.exec(id) ?? []
  if (number !== '') used.add(id)
  if (number !== '')
    test(`${id}: ${input.sql}`, () => assert.equal(simpleDdlType(ACTIONS.get(number) ?? 0), value.type))
}

test('simple-checkpoint-ts: watermarks in every encoding and compression', () => {
  const ts = Ts(BigInt(vector('simple-checkpoint-ts').input.ts))
  for (const encoding of ['json', 'avro'] as const)
    for (const compression of ['none', 'lz4', 'snappy'] as const) {
      const protocol = simple({ largeMessages: { compression, handling: { option: 'none' } } }, encoding)
      const value = protocol.watermark(ts)?.value ?? utf8('')
      const plain = compression === 'none' ? value : decompressValue(compression, value)
      assert.deepEqual(createSimpleDecoder().decode(plain), [
        { kind: 'watermark', watermarkTs: ts, buildTs: 1708923662983 },
      ])
    }
})

const BYTES = {
  'simple-avro-bytes-insert': {
    columns: {
      id: 'int',
      name: 'varchar(20)',
      age: 'int',
      score: 'double',
      ub: 'bigint unsigned',
      ts: 'timestamp',
      bin: 'varbinary(9)',
      f: 'float',
    },
    after: [1, utf8('John Doe'), null, 3.5, 18446744073709551615n, '2020-02-20 10:20:20', Uint8Array.of(0, 255), 1.5],
  },
  'simple-avro-bytes-delete': { columns: { id: 'int' }, before: [1] },
  'simple-avro-bytes-update-checksum': { columns: { id: 'int' }, before: [1], after: [1] },
} as const

for (const [id, { columns, ...sides }] of Object.entries(BYTES))
  test(id, () => {
    const { input, value } = vector(id)
    const table = sample(
      { schema: 'simple', table: 'user', columns },
      [],
      BigInt(input.schemaVersion),
      BigInt(input.tableID),
    )
    const row = change({ ...sides, ...(input.checksum && { checksum: input.checksum }) })
    const message = encode(simple({}, 'avro'), table, row)
    assert.equal(Buffer.from(message.value ?? []).toString('base64'), value)
  })

test('simple-avro-bytes-watermark', () => {
  const watermark = simple({}, 'avro').watermark(commitTs)
  assert.equal(Buffer.from(watermark?.value ?? []).toString('base64'), vector('simple-avro-bytes-watermark').value)
})

test('simple-avro-bytes-claim-check: what is too large leaves its key and where it lies', () => {
  const { input, value } = vector('simple-avro-bytes-claim-check')
  const table = sample(
    { schema: 'simple', table: 'user', columns: { id: 'int primary key', a: 'text' } },
    [],
    BigInt(input.schemaVersion),
  )
  const format = createAvroFormat({ location: 'UTC', now: () => 1708923662983 })
  format
    .compile(table)
    .write(change({ after: [1, utf8('a')] }), { location: input.claimCheckLocation, upload: undefined })
  assert.equal(Buffer.from(format.take()).toString('base64'), value)
  for (const encoding of ['json', 'avro'] as const) {
    const narrow = simple(
      { maxMessageBytes: 350, largeMessages: { compression: 'none', handling: { option: 'handle-key-only' } } },
      encoding,
    )
    const row = change({ after: [1, utf8('x'.repeat(400))] })
    const stub = encode(narrow, table, row)
    const message = decodeSimpleMessage(stub.value ?? utf8(''))
    assert.ok(message.kind === 'row' && message.onlyHandleKey)
    assert.deepEqual([...(message.after?.keys() ?? [])], ['id'])
    assert.throws(() => encode(simple({ maxMessageBytes: 350 }, encoding), table, row), {
      code: 'CDC:ErrMessageTooLarge',
      message: /table:simple\.user, length:\d+, maxMessageBytes:350$/,
    })
  }
  const message = decodeSimpleMessage(Buffer.from(value, 'base64'))
  assert.ok(message.kind === 'row')
  assert.deepEqual([message.claimCheckLocation, message.onlyHandleKey], [input.claimCheckLocation, true])
})

const type = avsc.Type.forSchema(vector('simple-avro-schema').value, { wrapUnions: true, typeHook: bigLong })

/** Longs beyond 2^53 as bigint. */
function bigLong(schema: unknown): avsc.Type | undefined {
  return schema === 'long'
    ? avsc.types.LongType.__with({
        fromBuffer: (buffer: Buffer) => buffer.readBigInt64LE(),
        toBuffer: (value: bigint) => {
          const buffer = Buffer.alloc(8)
          buffer.writeBigInt64LE(value)
          return buffer
        },
        fromJSON: BigInt,
        toJSON: Number,
        isValid: (value: unknown) => typeof value === 'bigint',
        compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
      })
    : undefined
}

test('an Avro library that is not ours reads every message by the published schema', () => {
  const protocol = simple({}, 'avro')
  const { table, values } = allTypes()
  const messages = [
    encode(protocol, table, change({ before: values, after: values })).value,
    protocol.watermark(commitTs)?.value,
    protocol.bootstrap?.(table).value,
    protocol.ddl(ddlEvent({ type: 4, query: 'DROP TABLE t', before: table }))?.value,
  ]
  for (const message of messages) {
    const record = type.fromBuffer(Buffer.from(message ?? []))
    assert.ok('com.pingcap.simple.avro.Message' in record)
  }
  const sent = type.fromBuffer(Buffer.from(messages[0] ?? []))
  const { data } = sent['com.pingcap.simple.avro.Message'].payload['com.pingcap.simple.avro.DML']
  assert.equal(data.map.biu2['com.pingcap.simple.avro.UnsignedBigint'].value, -9223372036854775808n)
})

/** Avro has the scale of decimals alone. */
const comparable = ({ columns, ...rest }: TableSchema): unknown => ({
  ...rest,
  columns: columns.map((column) => (column.mysqlType === 'decimal' ? column : { ...column, decimal: 0 })),
})

test('what is encoded decodes to the same row once the schema is known', () => {
  fc.assert(
    fc.property(tableAndRow, fc.constantFrom('json', 'avro'), ({ table, row }, encoding) => {
      const protocol = simple({}, encoding)
      const decoder = createSimpleDecoder()
      const message = encode(protocol, table, row).value ?? utf8('')
      assert.deepEqual(decoder.decode(message), [])
      assert.equal(decoder.waiting, 1)
      const bootstrap = protocol.bootstrap?.(table).value ?? utf8('')
      const [first, event] = decoder.decode(bootstrap)
      assert.ok(first?.kind === 'bootstrap' && event?.kind === 'row')
      assert.deepEqual(comparable(first.tableSchema), comparable(tableSchema(table)))
      assert.deepEqual([event.schema, event.table, event.commitTs], ['test', 't', row.commitTs])
      assert.deepEqual(event.after, valuesByName(table, row.after))
      assert.deepEqual(event.before, valuesByName(table, row.before))
      assert.equal(decoder.waiting, 0)
    }),
    { numRuns: 300 },
  )
})

test('a row of an unknown version waits with all later ones of its table; other tables go on', () => {
  const protocol = simple()
  const decoder = createSimpleDecoder()
  const [old, now] = [user({}, 1n), user({}, 2n)]
  const other = user({ table: 'other' }, 1n)
  const send = (table: TableVersion, id: number) =>
    decoder.decode(encode(protocol, table, change({ after: [id, null, null, null] })).value ?? utf8(''))
  const announce = (table: TableVersion) => decoder.decode(protocol.bootstrap?.(table).value ?? utf8(''))
  announce(old)
  announce(other)
  assert.equal(send(old, 1).length, 1)
  assert.equal(send(now, 2).length, 0)
  assert.equal(send(old, 3).length, 0)
  assert.equal(send(other, 4).length, 1)
  const [, ...held] = announce(now)
  assert.deepEqual(
    held.map((event) => event.kind === 'row' && event.after?.get('id')),
    [2, 3],
  )
})

test('whatever arrives, the error is a named one', () => {
  const { table, values } = allTypes()
  const known = createSimpleDecoder()
  known.decode(simple().bootstrap?.(table).value ?? utf8(''))
  const document = JSON.parse(text(encode(simple(), table, change({ after: values })).value))
  const members = fc.dictionary(fc.constantFrom(...Object.keys(document), 'tableSchema'), fc.jsonValue())
  const avro = encode(simple({}, 'avro'), table, change({ after: values })).value ?? utf8('')
  const garbled = fc.oneof(
    fc.uint8Array(),
    members.map((changes) => utf8(JSON.stringify({ ...document, ...changes }))),
    fc
      .tuple(fc.nat(avro.length), fc.uint8Array({ maxLength: 8 }))
      .map(([at, bytes]) => Uint8Array.from([...avro.subarray(0, at), ...bytes, ...avro.subarray(at + bytes.length)])),
  )
  fc.assert(
    fc.property(garbled, (bytes) => {
      try {
        known.decode(bytes)
      } catch (error) {
        assert.ok(error instanceof CdcError && error.code === 'CDC:ErrDecodeFailed', String(error))
      }
    }),
    { numRuns: 1000 },
  )
})
