import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { allTypes } from '../../../test/support/all-types.ts'
import { codecSettings } from '../../../test/support/codec-settings.ts'
import { ddlEvent } from '../../../test/support/ddl-event.ts'
import { fieldType, testTable } from '../../../test/support/table-version.ts'
import type { CodecSettings } from '../../config/sink-settings.ts'
import { Messages } from '../../event/encoded.ts'
import type { RowChange, Values } from '../../event/row-change.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { Ts } from '../../tidb/ts.ts'
import { mysqlTypeName, mysqlTypeText } from '../mysql-type.ts'
import { createCanalJson } from './encode.ts'
import { codeOfValue, sqlTypeOf } from './sql-type.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR']
const file =
  folder === undefined
    ? join(import.meta.dirname, 'vectors/canal-json.json')
    : join(folder, 'protocols/canal-json.json')
const { vectors } = JSON.parse(readFileSync(file, 'utf8'))
const vector = (id: string) => vectors.find((one: { id: string }) => one.id === id)

const text = (bytes: Uint8Array): string => new TextDecoder('utf-8', { fatal: true }).decode(bytes)
const utf8 = (value: string): Uint8Array => new TextEncoder().encode(value)
const commitTs = Ts(429918007904436226n)
const now = (): number => 1639633094670

function encode(
  table: TableVersion,
  row: { before?: Values; after?: Values },
  changes: Partial<CodecSettings> = {},
): string {
  const change: RowChange = { startTs: commitTs, commitTs, before: row.before, after: row.after }
  const messages = new Messages()
  const encoder = createCanalJson(codecSettings(changes), now).compile(table)
  encoder.encode(change, 3, messages)
  encoder.flush(messages)
  const [message] = messages
  assert.ok(message !== undefined && messages.length === 1)
  assert.deepEqual([message.partition, message.key, message.rows], [3, null, 1])
  return text(message.value ?? utf8(''))
}

for (const { id, input, mysqlType, mysqlTypeContentCompatible, sqlType } of vectors) {
  if (!id.startsWith('canal-type-')) continue
  test(`${id}: ${input.definition}`, () => {
    const type = fieldType(input.definition)
    assert.equal(mysqlTypeName(type), mysqlType)
    assert.equal(mysqlTypeText(type), mysqlTypeContentCompatible)
    for (const { value, code } of sqlType) {
      const integer = typeof value === 'string' && /^\d+$/.test(value) ? BigInt(value) : value
      const found = sqlTypeOf(type)
      assert.equal(Number(typeof found === 'number' ? found : codeOfValue(found, integer)), code, String(value))
    }
  })
}

test('an insert has the members of the documented sample, in Canal order', () => {
  const { value, input } = vector('canal-insert-ints-ext')
  const table = testTable({
    schema: 'test',
    table: 'tp_int',
    columns: {
      id: 'int primary key',
      c_tinyint: 'tinyint',
      c_smallint: 'smallint',
      c_mediumint: 'mediumint',
      c_int: 'int',
      c_bigint: 'bigint',
    },
  })
  const after = Object.values<string>(input.row).map((one) =>
    Number.isSafeInteger(Number(one)) ? Number(one) : BigInt(one),
  )
  const got = encode(table, { after }, { enableTidbExtension: true })
  const times = /"es":\d+,"ts":\d+/
  assert.deepEqual(JSON.parse(got.replace(times, '"es":0')), JSON.parse(value.replace(times, '"es":0')))
  assert.equal(
    got,
    '{"id":0,"database":"test","table":"tp_int","pkNames":["id"],"isDdl":false,"type":"INSERT","es":1640007049196,' +
      '"ts":1639633094670,"sql":"","sqlType":{"id":4,"c_tinyint":-6,"c_smallint":5,"c_mediumint":4,"c_int":4,"c_bigint":-5},' +
      '"mysqlType":{"id":"int","c_tinyint":"tinyint","c_smallint":"smallint","c_mediumint":"mediumint","c_int":"int",' +
      '"c_bigint":"bigint"},"old":null,"data":[{"id":"2","c_tinyint":"127","c_smallint":"32767","c_mediumint":"8388607",' +
      '"c_int":"2147483647","c_bigint":"9223372036854775807"}],"_tidb":{"commitTs":429918007904436226}}',
  )
})

test('every column type is written as text', () => {
  const { table, values, texts } = allTypes()
  const got = JSON.parse(encode(table, { after: values }))
  const latin1 = (name: string): string => Buffer.from(texts.get(name) ?? '', 'utf8').toString('latin1')
  const expected = Object.fromEntries(texts)
  for (const name of ['binaryT', 'varbinaryT', 'tinyblobT', 'blobT', 'mediumblobT', 'longblobT'])
    expected[name] = latin1(name)
  assert.deepEqual(got.data, [{ ...expected, enumT: '1', setT: '2', bitT: '65' }])
  assert.deepEqual(got.pkNames, ['tu1'])
  assert.equal(got.sqlType.tu2, 5, 'an unsigned value beyond its Java type takes the next one')
  assert.equal(got.sqlType.biu2, 3)
  assert.equal(got.mysqlType.blobT, 'blob')
  assert.equal(got.mysqlType.textT, 'text')
})

const pair = testTable({ columns: { id: 'int primary key', a: 'varchar(10)', b: 'int' } })

test('an update carries all old columns, or only those that changed', () => {
  const row = { before: [1, utf8('x'), null], after: [1, utf8('x'), 2] }
  const tail = ',"data":[{"id":"1","a":"x","b":"2"}]}'
  assert.ok(encode(pair, row).endsWith(`"old":[{"id":"1","a":"x","b":null}]${tail}`))
  assert.ok(encode(pair, row, { onlyOutputUpdatedColumns: true }).endsWith(`"old":[{"b":null}]${tail}`))
  const same = { before: row.after, after: row.after }
  assert.ok(encode(pair, same, { contentCompatible: true }).endsWith(`"old":[{}]${tail}`))
})

test('a delete carries its row in data, only handle columns where that is asked for', () => {
  const row = { before: [1, utf8('x'), null] }
  assert.match(encode(pair, row), /"type":"DELETE".*"old":null,"data":\[\{"id":"1","a":"x","b":null\}\]\}$/)
  assert.match(
    encode(pair, row, { deleteOnlyOutputHandleKeyColumns: true, enableTidbExtension: true }),
    /"sqlType":\{"id":4\},"mysqlType":\{"id":"int"\},"old":null,"data":\[\{"id":"1"\}\],"_tidb":\{"commitTs":429918007904436226\}\}$/,
  )
  const keyless = testTable({ columns: { a: 'int' } })
  assert.match(
    encode(keyless, { before: [1] }, { deleteOnlyOutputHandleKeyColumns: true }),
    /"pkNames":\[\].*"sqlType":null,"mysqlType":\{\},"old":null,"data":\[\{\}\]\}$/,
  )
})

test('a message ends with its document, whatever the terminator of storage files', () => {
  assert.ok(encode(pair, { after: [1, null, null] }, { terminator: '\r\n' }).endsWith('}]}'))
})

test('DDL and watermark are those of the documented samples', () => {
  const protocol = createCanalJson(codecSettings({ enableTidbExtension: true }), () => 1640007050284)
  const watermark = protocol.watermark(commitTs)
  assert.equal(watermark && text(watermark.value), vector('canal-watermark-ext').value)
  const ddl = protocol.ddl(ddlEvent({ commitTs, type: 2, schema: 'test', query: 'drop database if exists test' }))
  const times = /"es":\d+,"ts":\d+/
  assert.equal(ddl && text(ddl.value).replace(times, ''), vector('canal-ddl-query-ext').value.replace(times, ''))
  assert.equal(protocol.ddlPartitions, 'first')
})

test('a deleted row is in data alone, and values of bytes are their characters', (t) => {
  const deleted = vector('canal-delete-old-null').value
  const [row] = deleted.data
  const columns = { id: 'int primary key', c_tinyint: 'tinyint', c_smallint: 'smallint', c_mediumint: 'mediumint' }
  const ints = testTable({ columns: { ...columns, c_int: 'int', c_bigint: 'bigint' } })
  const before = ints.columns.map(({ name }) => (name === 'c_bigint' ? BigInt(row[name]) : Number(row[name])))
  const { type, data, old } = JSON.parse(encode(ints, { before }))
  assert.deepEqual({ type, data, old }, deleted)
  const { value, mysqlType, latin1OfBlob } = vector('canal-values-person')
  const person = testTable({
    columns: { id: 'int primary key', name: 'varchar(32)', comment: 'text', bb: 'blob', vec: 'vector(5)' },
  })
  const after = [1, utf8('Bob'), utf8('测试'), utf8('测试blob'), Float32Array.of(1, 2, 3, 4, 5)]
  const document = JSON.parse(encode(person, { after }))
  const { tiny: _tiny, ...shown } = value
  assert.deepEqual(document.data, [{ ...shown, bb: latin1Of('测试blob') }])
  assert.equal(latin1Of('测试blob').replaceAll(/[\x80-\x9f\xad]/g, ''), latin1OfBlob.replaceAll(/[\x80-\x9f\xad]/g, ''))
  assert.deepEqual(document.mysqlType, mysqlType)
  const types = vectors.filter(({ id }: { id: string }) => id.startsWith('canal-type-')).length
  t.diagnostic(`canal-json: ${vectors.length} vectors: ${types} types, 5 messages encoded, 3 decoded`)
})

/** Each byte of the UTF-8 text as one character. */
const latin1Of = (value: string): string => Buffer.from(value).toString('latin1')

test('without the extension there are no watermarks and no commitTs', () => {
  const protocol = createCanalJson(codecSettings(), now)
  assert.equal(protocol.watermark(commitTs), undefined)
  assert.ok(!encode(pair, { after: [1, null, null] }).includes('_tidb'))
})

test('a message beyond max-message-bytes is refused by name, and the next one is whole', () => {
  const messages = new Messages()
  const length = encode(pair, { after: [1, utf8('x'), 2] }).length + 36
  const encoder = createCanalJson(codecSettings({ maxMessageBytes: length }), now).compile(pair)
  const row = (a: string): RowChange => ({ startTs: commitTs, commitTs, before: undefined, after: [1, utf8(a), 2] })
  const error = {
    code: 'CDC:ErrMessageTooLarge',
    message: new RegExp(`table:test.t, length:${length + 1}, maxMessageBytes:${length}$`),
  }
  assert.throws(() => encoder.encode(row('xy'), 0, messages), error)
  encoder.encode(row('x'), 0, messages)
  assert.equal(messages.at(0)?.value?.length, length - 36)
})
