import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { allTypes } from '../../../test/support/all-types.ts'
import { codecSettings } from '../../../test/support/codec-settings.ts'
import { ddlEvent } from '../../../test/support/ddl-event.ts'
import { testTable } from '../../../test/support/table-version.ts'
import type { CodecSettings } from '../../config/sink-settings.ts'
import { type EncodedMessage, Messages } from '../../event/encoded.ts'
import type { RowChange, Values } from '../../event/row-change.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { intHandle, recordKey } from '../../tidb/key.ts'
import { Ts } from '../../tidb/ts.ts'
import { createOpenProtocol } from './encode.ts'
import { goQuote, goUnquote, isPrintable } from './go-quote.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR']
const file =
  folder === undefined
    ? join(import.meta.dirname, 'vectors/open-protocol.json')
    : join(folder, 'protocols/open-protocol.json')
const { vectors } = JSON.parse(readFileSync(file, 'utf8'))
const vector = (id: string) => vectors.find((one: { id: string }) => one.id === id)

const text = (bytes: Uint8Array): string => new TextDecoder('utf-8', { fatal: true }).decode(bytes)
const utf8 = (value: string): Uint8Array => new TextEncoder().encode(value)
const base64 = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString('base64')
const commitTs = Ts(446266400629063682n)

const change = (row: { before?: Values; after?: Values; key?: Uint8Array }): RowChange => ({
  startTs: Ts(1n),
  commitTs,
  before: row.before,
  after: row.after,
  ...(row.key === undefined ? {} : { key: row.key }),
})

function encodeAll(
  table: TableVersion,
  rows: readonly RowChange[],
  changes: Partial<CodecSettings> = {},
): EncodedMessage[] {
  const messages = new Messages()
  const encoder = createOpenProtocol(codecSettings({ protocol: 'open-protocol', ...changes })).compile(table)
  for (const row of rows) encoder.encode(row, 0, messages)
  encoder.flush(messages)
  return [...messages]
}

/** Key and value JSON of the only event. */
function encode(
  table: TableVersion,
  row: Parameters<typeof change>[0],
  changes: Partial<CodecSettings> = {},
): [string, string] {
  const [message] = encodeAll(table, [change(row)], changes)
  assert.ok(message?.key && message.value)
  return [text(message.key.subarray(16)), text(message.value.subarray(8))]
}

const ab = testTable({ columns: { a: 'varchar(10) primary key', b: 'varchar(10)' } })
const aaBb = { after: [utf8('aa'), utf8('bb')] }

test('an insert has the bytes of its vector', () => {
  const common = { ...ab, info: { ...ab.info, isCommonHandle: true } }
  const [message] = encodeAll(common, [change({ ...aaBb, key: utf8('t12345678_r12345678') })])
  const { key, value } = vector('open-bytes-insert-computed')
  assert.deepEqual([base64(message?.key), base64(message?.value)], [key, value])
})

test('an integer handle goes into the key, and so does the partition', () => {
  const plain = testTable({ columns: { id: 'int primary key' } })
  const partitioned = testTable({ columns: { id: 'int primary key' }, partitionIds: [109n, 110n] })
  for (const [table, id, name] of [
    [plain, -7, 'open-bytes-insert-rid-computed'],
    [partitioned, 5, 'open-bytes-insert-rid-ptn-computed'],
  ] as const) {
    const [message] = encodeAll(table, [
      change({ after: [id], key: recordKey(table.physicalId, intHandle(BigInt(id))) }),
    ])
    assert.deepEqual([base64(message?.key), base64(message?.value)], [vector(name).key, vector(name).value])
  }
  for (const rid of [1n, -1n, 2n ** 53n - 1n, 2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n, 4294967296n]) {
    assert.ok(
      encode(plain, { after: [1], key: recordKey(1n, intHandle(rid)) })[0].includes(`,"rid":${rid},"t":1}`),
      String(rid),
    )
  }
  assert.ok(
    !encode(plain, { after: [0], key: recordKey(1n, intHandle(0n)) })[0].includes('rid'),
    'a handle of 0 is left out',
  )
})

test('the size of a row counts its key, its value and 60 bytes more', () => {
  const [message] = encodeAll(ab, [change(aaBb)], { maxMessageBytes: 188 })
  assert.equal((message?.key?.length ?? 0) - 16, 54)
  assert.equal((message?.value?.length ?? 0) - 8, 74)
  assert.throws(() => encodeAll(ab, [change(aaBb)], { maxMessageBytes: 187 }), {
    code: 'CDC:ErrMessageTooLarge',
    message: /table:test\.t, length:188, maxMessageBytes:187$/,
  })
})

test('no batch exceeds the limits in bytes and rows, and none is begun too early', () => {
  const rows = Array.from({ length: 1000 }, () => change(aaBb))
  const bytes = (message: EncodedMessage): number => (message.key?.length ?? 0) + (message.value?.length ?? 0) + 36
  const count = (messages: readonly EncodedMessage[]): number => messages.reduce((sum, one) => sum + one.rows, 0)
  const narrow = encodeAll(ab, rows, { maxMessageBytes: 512, maxBatchSize: 64 })
  assert.equal(count(narrow), 1000)
  assert.ok(narrow.every((message) => bytes(message) <= 512))
  assert.deepEqual(
    new Set(narrow.slice(0, -1).map((one) => one.rows)),
    new Set([Math.floor((512 - 36 - 8) / (54 + 74 + 16))]),
  )
  assert.ok(
    encodeAll(ab, rows, { maxMessageBytes: 256 }).every((message) => bytes(message) <= 256 && message.rows === 1),
  )
  const wide = encodeAll(ab, rows, { maxMessageBytes: 1048576, maxBatchSize: 64 })
  assert.deepEqual([count(wide), Math.max(...wide.map((one) => one.rows)), wide.length], [1000, 64, 16])
})

test('messages of several partitions leave in the order in which they were begun', () => {
  const messages = new Messages()
  const encoder = createOpenProtocol(codecSettings({ maxBatchSize: 2 })).compile(ab)
  for (const partition of [1, 0, 1, 1, 2, 0]) encoder.encode(change(aaBb), partition, messages)
  encoder.flush(messages)
  const partitions = [...messages].map(({ partition, rows }) => [partition, rows])
  assert.deepEqual(partitions, [
    [1, 2],
    [0, 2],
    [1, 1],
    [2, 1],
  ])
  const before = [...messages].map(({ value }) => base64(value))
  encoder.encode(change({ after: [utf8('zz'), null] }), 1, messages)
  encoder.flush(messages)
  assert.deepEqual(
    [...messages].slice(0, 4).map(({ value }) => base64(value)),
    before,
    'sent messages stay as they are',
  )
})

const mixed = testTable({ columns: { b: 'int', id: 'int primary key', a: 'varchar(10)' } })

test('columns stand in the order of their names, old values behind new ones', () => {
  const row = { before: [null, 1, utf8('x')], after: [2, 1, utf8('x')] }
  const [id, a] = ['"id":{"t":3,"h":true,"f":11,"v":1}', '"a":{"t":15,"f":64,"v":"x"}']
  const updated = `{"u":{${a},"b":{"t":3,"f":65,"v":2},${id}}`
  assert.equal(encode(mixed, row)[1], `${updated},"p":{${a},"b":{"t":3,"f":65,"v":null},${id}}}`)
  assert.equal(
    encode(mixed, row, { onlyOutputUpdatedColumns: true })[1],
    `${updated},"p":{"b":{"t":3,"f":65,"v":null}}}`,
  )
  assert.equal(
    encode(mixed, { before: row.after, after: row.after }, { onlyOutputUpdatedColumns: true })[1],
    `${updated}}`,
  )
  assert.equal(encode(mixed, row, { openOutputOldValue: false })[1], `${updated}}`)
})

test('a delete carries all columns, or those of the handle key', () => {
  const row = { before: [2, 1, null] }
  const id = '"id":{"t":3,"h":true,"f":11,"v":1}'
  assert.equal(encode(mixed, row)[1], `{"d":{"a":{"t":15,"f":64,"v":null},"b":{"t":3,"f":65,"v":2},${id}}}`)
  assert.equal(encode(mixed, row, { deleteOnlyOutputHandleKeyColumns: true })[1], `{"d":{${id}}}`)
  const keyless = testTable({ columns: { a: 'int' } })
  assert.throws(() => encode(keyless, { before: [1] }, { deleteOnlyOutputHandleKeyColumns: true }), {
    code: 'CDC:ErrOpenProtocolCodecInvalidData',
  })
})

test('every column type is written with its code, flags and value', () => {
  const { table, values, texts } = allTypes()
  const [, json] = encode(table, { after: values })
  const columns: Record<string, { t: number; f: number; v: unknown; h?: true }> = JSON.parse(json).u
  assert.deepEqual(Object.keys(columns), [...texts.keys()].toSorted())
  const types = Object.entries(columns).map(([name, { t }]) => [name, t])
  const expected = { t: 1, s: 2, m: 9, i: 3, bi: 8, floatT: 4, doubleT: 5, decimalT: 246, varcharT: 15, charT: 254 }
  const more = { binaryT: 254, varbinaryT: 15, tinytextT: 249, textT: 252, mediumtextT: 250, longtextT: 251, dateT: 10 }
  const rest = {
    datetimeT: 12,
    timestampT: 7,
    timeT: 11,
    yearT: 13,
    enumT: 247,
    setT: 248,
    bitT: 16,
    vectorT: 225,
    jsonT: 245,
  }
  for (const [name, t] of Object.entries({ ...expected, ...more, ...rest }))
    assert.equal(Object.fromEntries(types)[name], t, name)
  const flags = {
    t: 65,
    tu2: 193,
    tu1: 139,
    varcharT: 64,
    varbinaryT: 65,
    textT: 64,
    blobT: 65,
    bitT: 193,
    yearT: 193,
    jsonT: 65,
    enumT: 64,
  }
  for (const [name, f] of Object.entries(flags)) assert.equal(columns[name]?.f, f, name)
  assert.ok(json.includes('"biu2":{"t":8,"f":193,"v":9223372036854775808}'), 'beyond 2^53 in full')
  assert.ok(json.includes('"tu1":{"t":1,"h":true,"f":139,"v":127}'))
  assert.deepEqual(columns['textT']?.v, Buffer.from('测试text').toString('base64'))
  assert.deepEqual(columns['blobT']?.v, Buffer.from('测试blob').toString('base64'))
  const [varchar, binary, vectorText] = [columns['varcharT']?.v, columns['binaryT']?.v, columns['vectorT']?.v]
  assert.deepEqual([varchar, binary, vectorText], ['测试Varchar', '测试Binary', '[1,2,3,4,5]'])
  assert.deepEqual([columns['decimalT']?.v, columns['floatT']?.v, columns['enumT']?.v], ['2333.654321', 3.14, 1])
  assert.equal(columns['tu4']?.v, null)
})

test('binary strings are quoted as Go quotes them', () => {
  const table = testTable({ columns: { c: 'varbinary(99)' } })
  for (const { inHex, quoted, jsonValue } of vector('open-binary-quote').cases) {
    const bytes = new Uint8Array(Buffer.from(inHex, 'hex'))
    assert.equal(goQuote(bytes), quoted)
    assert.ok(encode(table, { after: [bytes] })[1].endsWith(`"v":${jsonValue}}}}`), inHex)
    assert.deepEqual(goUnquote(quoted), bytes)
  }
})

test('as many characters are printable as Go 1.26 says', () => {
  let count = 0
  for (let point = 0; point <= 0x10ffff; point++) {
    if ((point < 0xd800 || point > 0xdfff) && isPrintable(String.fromCodePoint(point))) count++
  }
  assert.equal(count, 148_998)
})

test('DDL and resolved events stand alone', () => {
  const protocol = createOpenProtocol(codecSettings({ protocol: 'open-protocol' }))
  const ddl = protocol.ddl(ddlEvent({ commitTs: Ts(1n), schema: 'a', table: 'b', type: 1, query: 'create table a' }))
  const expected = vector('open-bytes-ddl-0')
  assert.deepEqual([base64(ddl?.key), base64(ddl?.value)], [expected.key, expected.value])
  const schemaDdl = protocol.ddl(
    ddlEvent({ commitTs: Ts(1n), schema: 'a', table: '', type: 2, query: 'drop database a' }),
  )
  assert.equal(text(schemaDdl?.key?.subarray(16) ?? utf8('')), '{"ts":1,"scm":"a","t":2}')
  const resolved = protocol.watermark(commitTs)
  const { key, value } = vector('open-bytes-resolved-computed')
  assert.deepEqual([base64(resolved?.key), base64(resolved?.value)], [key, value])
  assert.equal(protocol.ddlPartitions, 'all')
})
