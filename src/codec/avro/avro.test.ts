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
import { memoryRegistry } from '../../../test/support/memory-registry.ts'
import { testTable } from '../../../test/support/table-version.ts'
import { CdcError } from '../../base/errors.ts'
import type { AvroSettings, CodecSettings } from '../../config/sink-settings.ts'
import { Messages } from '../../event/encoded.ts'
import type { RowChange, Values } from '../../event/row-change.ts'
import type { Column, TableVersion } from '../../event/table-version.ts'
import { Ts } from '../../tidb/ts.ts'
import { columnChecksum } from '../../tidb/row-checksum.ts'
import { AvroWriter } from '../avro-binary.ts'
import { compileAvroDecoder, createAvroDecoder } from './decode.ts'
import { decimalText, writeDecimal } from './decimal.ts'
import { createAvro, tableRecords } from './encode.ts'
import { confluentHeader, glueHeader, openEnvelope } from './envelope.ts'
import { avroName, avroNamespace, subjectOf } from './name.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR']
const file = folder === undefined ? join(import.meta.dirname, 'vectors/avro.json') : join(folder, 'protocols/avro.json')
const { vectors } = JSON.parse(readFileSync(file, 'utf8'))
const used = new Set<string>()
const vector = (id: string) => {
  used.add(id)
  return vectors.find((one: { id: string }) => one.id === id)
}
after(() => console.log(`avro vectors: ${used.size} of ${vectors.length}`))
const signal = new AbortController().signal
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const commitTs = Ts(417318403368288260n)

type Changes = Partial<Omit<CodecSettings, 'avro'>> & { readonly avro?: Partial<AvroSettings> }
const settingsOf = ({ avro, ...changes }: Changes): CodecSettings => {
  const settings = codecSettings({ protocol: 'avro', ...changes })
  return { ...settings, avro: { ...settings.avro, ...avro } }
}

const change = (row: { before?: Values; after?: Values }): RowChange => ({
  startTs: commitTs,
  commitTs,
  before: row.before,
  after: row.after,
})

/** Encodes one row; what comes back is the message and the registry that has its schemas. */
async function encode(table: TableVersion, row: RowChange, changes: Changes = {}, topic = 'a.topic') {
  const registry = memoryRegistry()
  const protocol = createAvro(settingsOf(changes), { namespace: 'default', registry })
  await protocol.prepare?.(table, topic, signal)
  const messages = new Messages()
  const encoder = protocol.compile(table)
  encoder.encode(row, 2, messages)
  encoder.flush(messages)
  const [message, ...more] = messages
  assert.ok(message !== undefined && more.length === 0)
  return { message, registry }
}

/** Columns with defaults, which {@link testTable} has none of. */
const withDefaults = (table: TableVersion, defaults: Readonly<Record<string, string>>): TableVersion => ({
  ...table,
  columns: table.columns.map((column): Column => {
    const text = defaults[column.name]
    if (text === undefined) return column
    const key = column.info.type.tp === 16 ? 'defaultBit' : 'defaultValue'
    return { ...column, info: { ...column.info, [key]: text } }
  }),
})

const schemaOf = (table: TableVersion, changes: Changes = {}): string =>
  tableRecords(table, settingsOf(changes), 'default').value.schema

const fieldOf = (type: string, changes: Changes = {}, stored?: string): unknown => {
  const table = testTable({ columns: { c: type } })
  const given = stored === undefined ? table : withDefaults(table, { c: stored })
  return JSON.parse(schemaOf(given, changes)).fields[0]
}

for (const { id, input, value } of vectors) {
  if (/^avro-(sanitize|namespace)-/.test(id)) used.add(id)
  if (id.startsWith('avro-sanitize-')) test(id, () => assert.equal(avroName(input.name), value))
  if (id.startsWith('avro-namespace-'))
    test(id, () => assert.equal(avroNamespace(input.namespace, input.schema), value))
}

test('avro-envelope-*: headers of both registries', () => {
  const record = Uint8Array.of(0x0e)
  const confluent = vector('avro-envelope-confluent')
  const message = Buffer.concat([confluentHeader(confluent.input.schemaId), record])
  assert.equal(message.toString('base64'), confluent.value)
  assert.deepEqual(openEnvelope(message), { id: confluent.input.schemaId, record: Buffer.from(record) })
  const glue = vector('avro-envelope-glue')
  const other = Buffer.concat([glueHeader(glue.input.schemaVersionId), record])
  assert.equal(other.toString('base64'), glue.value)
  assert.equal(openEnvelope(other).id, glue.input.schemaVersionId)
})

test('avro-checkpoint-watermark, and a DDL in the form of the tests', async () => {
  const { input, value } = vector('avro-checkpoint-watermark')
  const settings = settingsOf({ enableTidbExtension: true, avro: { enableWatermark: true } })
  const protocol = createAvro(settings, { namespace: 'default', registry: undefined })
  const watermark = protocol.watermark(Ts(BigInt(input.ts)))
  assert.equal(Buffer.from(watermark?.value ?? []).toString('base64'), value)
  const decoder = createAvroDecoder(memoryRegistry())
  assert.deepEqual(await decoder.decode(null, watermark?.value ?? null, signal), {
    kind: 'watermark',
    watermarkTs: BigInt(input.ts),
  })
  const ddl = protocol.ddl(ddlEvent({ query: 'drop table "t"', schema: 'a', table: 't', type: 4, commitTs }))
  assert.deepEqual(await decoder.decode(null, ddl?.value ?? null, signal), {
    kind: 'ddl',
    schema: 'a',
    table: 't',
    query: 'drop table "t"',
  })
  const silent = createAvro(settingsOf({}), { namespace: 'default', registry: undefined })
  assert.deepEqual([silent.watermark(commitTs), silent.ddl(ddlEvent({}))], [undefined, undefined])
})

test('avro-value-extension-fields, avro-checksum-fields: a row of all types', async () => {
  const { table, values } = allTypes()
  const expected = vector('avro-checksum-fields')
  const { message, registry } = await encode(table, change({ after: values }), {
    enableTidbExtension: true,
    rowChecksum: true,
    avro: { decimalMode: 'string', bigintUnsignedMode: 'string' },
  })
  assert.deepEqual([...registry.subjects.keys()], ['a_topic-key', 'a_topic-value'])
  const event = await createAvroDecoder(registry).decode(message.key, message.value, signal)
  assert.ok(event?.kind === 'row')
  assert.deepEqual(event.key, new Map([['tu1', vector('avro-value-extension-fields').expect['key.tu1']]]))
  assert.deepEqual(event.after, valuesByName(table, values))
  assert.deepEqual([event.extension?.op, event.extension?.commitTs], ['c', commitTs])
  const [schema = ''] = registry.subjects.get('a_topic-value') ?? []
  const names: string[] = JSON.parse(schema).fields.map((field: { name: string }) => field.name)
  for (const name of expected.expect['fields present']) assert.ok(names.includes(name), name)
  const [keySchema = ''] = registry.subjects.get('a_topic-key') ?? []
  assert.ok(!keySchema.includes('_tidb'))
})

test('avro-schema-text-computed: the very text', () => {
  const { value } = vector('avro-schema-text-computed')
  const table = withDefaults(testTable({ columns: { a: 'int primary key', b: 'varchar(100)', c: 'int' } }), { c: '17' })
  assert.equal(schemaOf(table, { enableTidbExtension: true }), value)
})

test('avro-field-*: the documented fields', () => {
  const documented = (id: string): unknown =>
    JSON.parse(
      JSON.stringify(vector(id).value)
        .replace('{{ColumnName}}', 'c')
        .replace('{{TIDB_TYPE}}', 'INT')
        .replace('{{AVRO_TYPE}}', 'int'),
    )
  assert.deepEqual(fieldOf('bit(64) not null'), documented('avro-field-bit64'))
  assert.deepEqual(fieldOf("set('a','b','c') not null"), documented('avro-field-set'))
  assert.deepEqual(fieldOf('decimal(10,4) not null'), documented('avro-field-decimal'))
  assert.deepEqual(fieldOf('int'), documented('avro-field-nullable'))
})

test('defaults by type: numbers as numbers, bytes in base64, none for a precise decimal', () => {
  const defaultOf = (type: string, stored: string, changes: Changes = {}): unknown => {
    const field = fieldOf(type, changes, stored)
    return typeof field === 'object' && field !== null && 'default' in field ? field.default : undefined
  }
  for (const [type, stored, expected, changes] of [
    ['int', '17', 17, {}],
    ['float', '0.1', 0.10000000149011612, {}],
    ['double', '2.5', 2.5, {}],
    ['bigint unsigned', '18446744073709551615', -1, {}],
    ['bigint unsigned', '18446744073709551615', '18446744073709551615', { avro: { bigintUnsignedMode: 'string' } }],
    ['decimal(5,2)', '1.25', null, {}],
    ['decimal(5,2) not null', '1.25', undefined, {}],
    ['decimal(5,2)', '1.25', '1.25', { avro: { decimalMode: 'string' } }],
    ['varchar(9)', 'null', 'null', {}],
    ['varbinary(9)', 'ab', 'YWI=', {}],
    ['bit(10)', 'AqA=', 'AqA=', {}],
    ["enum('a','b')", 'b', 'b', {}],
    ['timestamp', 'CURRENT_TIMESTAMP', 'CURRENT_TIMESTAMP', {}],
    ['year', '2023', 2023, {}],
  ] as const)
    assert.deepEqual(defaultOf(type, stored, changes), expected, type)
})

test('avro-bytes-decimal: and back', () => {
  for (const { scale, value, hex } of vector('avro-bytes-decimal').value) {
    const out = new AvroWriter()
    writeDecimal(out, value, scale)
    const bytes = out.take()
    assert.equal(Buffer.from(bytes).toString('hex'), hex, value)
    assert.equal(decimalText(bytes.subarray(1), scale), value)
  }
  assert.throws(() => writeDecimal(new AvroWriter(), '1.234', 2), RangeError)
})

test('avro-bytes-row-insert: the schema and the record of a row', async () => {
  const { input, value } = vector('avro-bytes-row-insert')
  const columns = {
    id: 'int not null',
    name: 'varchar(20)',
    n: 'bigint unsigned',
    d: 'decimal(10,2)',
    b: 'bit(10) not null',
    f: 'float',
  }
  const table = withDefaults(testTable({ columns }), { n: '7' })
  const { row } = input
  const values = [row.id, utf8(row.name), BigInt(row.n), row.d, row.b, row.f]
  const { message, registry } = await encode(table, change({ after: values }), { enableTidbExtension: true })
  assert.deepEqual(registry.subjects.get('a_topic-value'), [input.schema])
  assert.equal(message.key, null)
  assert.equal(Buffer.from(message.value?.subarray(5) ?? []).toString('base64'), value)
})

test('an update carries the new row, a delete is a tombstone under the key', async () => {
  const table = testTable({ columns: { id: 'int primary key', a: 'int' } })
  const update = await encode(table, change({ before: [1, 2], after: [1, 3] }), { enableTidbExtension: true })
  const decoded = await createAvroDecoder(update.registry).decode(update.message.key, update.message.value, signal)
  assert.ok(decoded?.kind === 'row')
  assert.deepEqual([decoded.after?.get('a'), decoded.extension?.op], [3, 'u'])
  const { message, registry } = await encode(table, change({ before: [1, 2] }))
  assert.equal(message.value, null)
  assert.deepEqual(await createAvroDecoder(registry).decode(message.key, null, signal), {
    kind: 'row',
    schema: 'test',
    table: 't',
    key: new Map([['id', 1]]),
    after: undefined,
    extension: undefined,
  })
})

test('with checksums the columns are in the order of their ids', async () => {
  const table = testTable({ columns: { a: 'int', b: 'int' } })
  const columns = table.columns.map((column, at) => ({ ...column, id: 2 - at }))
  const row = { ...change({ after: [1, 2] }), checksum: { version: 1, corrupted: true, current: 7, previous: 8 } }
  const { message, registry } = await encode({ ...table, columns }, row, {
    enableTidbExtension: true,
    rowChecksum: true,
  })
  const event = await createAvroDecoder(registry).decode(message.key, message.value, signal)
  assert.ok(event?.kind === 'row')
  assert.deepEqual([...(event.after?.keys() ?? [])], ['b', 'a'])
  assert.deepEqual(event.extension?.checksum, { value: 7, version: 1, corrupted: true })
})

test('a consumer finds the checksum of a row again in what it reads', async () => {
  const strings = { decimalMode: 'string', bigintUnsignedMode: 'string' } as const
  await fc.assert(
    fc.asyncProperty(tableAndRow.filter(sendable), async ({ table, row }) => {
      const values = row.after ?? row.before ?? []
      const infos = table.columns.map(({ info }) => info)
      const current = columnChecksum(infos, values)
      const checksum = { version: 0, corrupted: false, current, previous: 0 }
      const changes = { enableTidbExtension: true, rowChecksum: true, avro: strings }
      const { message, registry } = await encode(table, { ...change({ after: values }), checksum }, changes)
      const event = await createAvroDecoder(registry).decode(message.key, message.value, signal)
      assert.ok(event?.kind === 'row')
      const read = table.columns.map(({ name }) => event.after?.get(avroName(name)) ?? null)
      assert.equal(columnChecksum(infos, read), current)
      assert.equal(event.extension?.checksum?.value, current === 0 ? undefined : current)
    }),
    { numRuns: 200 },
  )
})

test('avro-default-string-null: the text null is a default that an Avro library takes', () => {
  assert.ok(avsc.Type.forSchema(vector('avro-default-string-null').input.avroSchema))
  const table = withDefaults(testTable({ columns: { c: 'varchar(9)' } }), { c: 'null' })
  assert.ok(avsc.Type.forSchema(JSON.parse(schemaOf(table))))
})

test('what does not fit is named, and the message after it is whole', async () => {
  const registry = memoryRegistry()
  const table = testTable({ columns: { id: 'int primary key', e: "enum('a')" } })
  const protocol = createAvro(settingsOf({ maxMessageBytes: 60 }), { namespace: 'default', registry })
  assert.throws(() => protocol.compile(table), TypeError)
  await protocol.prepare?.(table, 't', signal)
  const encoder = protocol.compile(table)
  const messages = new Messages()
  assert.throws(() => encoder.encode(change({ after: [1, 0] }), 0, messages), {
    code: 'CDC:ErrAvroEncodeFailed',
    message: /test\.t to avro: column e /,
  })
  encoder.encode(change({ after: [1, 1] }), 0, messages)
  assert.equal(messages.at(0)?.value?.length, 5 + 1 + 1 + 2)
  const wide = testTable({ columns: { id: 'int primary key', a: 'text' } })
  await protocol.prepare?.(wide, 't', signal)
  const error = { code: 'CDC:ErrMessageTooLarge', message: /table:test\.t, length:66, maxMessageBytes:60$/ }
  assert.throws(() => protocol.compile(wide).encode(change({ after: [1, utf8('x'.repeat(16))] }), 0, messages), error)
})

const modes = fc.record({
  enableTidbExtension: fc.boolean(),
  rowChecksum: fc.boolean(),
  avro: fc.record({
    decimalMode: fc.constantFrom('precise' as const, 'string' as const),
    bigintUnsignedMode: fc.constantFrom('long' as const, 'string' as const),
  }),
})

/** Sanitised names are one, and an enum has no name for its index 0: neither can be sent. */
const sendable = ({ table, row }: { table: TableVersion; row: RowChange }): boolean => {
  const names = table.columns.map(({ name }) => avroName(name))
  const emptyEnum = table.columns.some(
    ({ info }, at) => info.type.tp === 0xf7 && (row.after?.[at] === 0 || row.before?.[at] === 0),
  )
  const nullKey = (row.after ?? row.before)?.[0] === null
  return new Set(names).size === names.length && !emptyEnum && !nullKey
}

/** A precise decimal comes back with all digits of its column behind the point, and with no needless zero in front. */
function sameDecimals(table: TableVersion, values: ReadonlyMap<string, unknown> | undefined) {
  const decimals = new Set(table.columns.filter(({ info }) => info.type.tp === 0xf6).map(({ name }) => avroName(name)))
  const unscaled = (text: string): bigint => {
    const [whole = '', fraction = ''] = text.split('.')
    return BigInt(whole + fraction.padEnd(9, '0'))
  }
  return (
    values &&
    new Map(
      [...values].map(([name, value]) => {
        const plain = avroName(name)
        return [plain, decimals.has(plain) && typeof value === 'string' ? unscaled(value) : value]
      }),
    )
  )
}

test('what is encoded decodes to the same row, under every option', async () => {
  await fc.assert(
    fc.asyncProperty(tableAndRow.filter(sendable), modes, async ({ table, row }, changes) => {
      const { message, registry } = await encode(table, row, changes)
      const event = await createAvroDecoder(registry).decode(message.key, message.value, signal)
      assert.ok(event?.kind === 'row')
      const [name = ''] = table.columns.map((column) => column.name)
      const key = new Map([[name, (row.after ?? row.before)?.[0]]])
      assert.deepEqual(sameDecimals(table, event.key), sameDecimals(table, key))
      assert.deepEqual(sameDecimals(table, event.after), sameDecimals(table, valuesByName(table, row.after)))
      const extended = changes.enableTidbExtension && row.after !== undefined
      assert.equal(event.extension?.commitTs, extended ? row.commitTs : undefined)
    }),
    { numRuns: 300 },
  )
})

const isLong = (schema: unknown): boolean =>
  schema === 'long' || (typeof schema === 'object' && schema !== null && 'type' in schema && schema.type === 'long')

test('an Avro library that is not ours reads what is written', async () => {
  const long = avsc.types.LongType.__with({
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
  await fc.assert(
    fc.asyncProperty(tableAndRow.filter(sendable), async ({ table, row }) => {
      const after = row.after ?? row.before
      const { message, registry } = await encode(table, { ...row, after }, { enableTidbExtension: true })
      const [text = ''] = [...registry.subjects.entries()].find(([name]) => name.endsWith('-value'))?.[1] ?? []
      const type = avsc.Type.forSchema(JSON.parse(text), {
        typeHook: (schema) => (isLong(schema) ? long : undefined),
        wrapUnions: false,
      })
      const record = type.fromBuffer(Buffer.from(message.value?.subarray(5) ?? []))
      assert.equal(record._tidb_commit_ts, row.commitTs)
      for (const [at, { name, info }] of table.columns.entries()) {
        // The library's records are objects, in which this name is another thing.
        if (avroName(name) === '__proto__') continue
        const value = after?.[at] ?? null
        const read = record[avroName(name)]
        if (value === null) assert.equal(read, null)
        else if (typeof value === 'number' && info.type.tp < 0xf0 && info.type.tp !== 16)
          assert.equal(Number(read), value)
        else if (value instanceof Uint8Array)
          assert.deepEqual(typeof read === 'string' ? utf8(read) : new Uint8Array(read), value)
      }
    }),
    { numRuns: 200 },
  )
})

test('whatever arrives, the error is a named one', async () => {
  const { table, values } = allTypes()
  const { message, registry } = await encode(table, change({ after: values }))
  const decoder = createAvroDecoder({ schema: async (id) => registry.schema(Number(id) % 3, signal) })
  const body = Buffer.from(message.value?.subarray(5) ?? [])
  const mutated = fc
    .tuple(fc.nat(body.length - 1), fc.uint8Array({ maxLength: 8 }), fc.boolean())
    .map(([at, bytes, cut]) => [...body.subarray(0, at), ...bytes, ...(cut ? [] : body.subarray(at + bytes.length))])
  const garbled = fc.oneof(
    fc.uint8Array(),
    mutated.map((bytes) => Uint8Array.from([...confluentHeader(2), ...bytes])),
  )
  await fc.assert(
    fc.asyncProperty(garbled, async (bytes) => {
      try {
        await decoder.decode(null, bytes, signal)
      } catch (error) {
        const known = error instanceof CdcError && error.code === 'CDC:ErrAvroInvalidMessage'
        assert.ok(known || (error instanceof RangeError && error.message.startsWith('no schema')), String(error))
      }
    }),
    { numRuns: 1000 },
  )
  for (const text of [
    '',
    '[]',
    '{"type":"record"}',
    '{"type":"record","name":"a","fields":[{"name":"x","type":"map"}]}',
  ])
    assert.throws(() => compileAvroDecoder(text), { code: 'CDC:ErrAvroInvalidMessage' }, text)
})

test('subjects', () => assert.deepEqual([subjectOf('a.b', 'key'), subjectOf('x', 'value')], ['a_b-key', 'x-value']))
