import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { allTypes } from '../../../test/support/all-types.ts'
import { tableAndRow } from '../../../test/support/arbitrary-row.ts'
import { codecSettings } from '../../../test/support/codec-settings.ts'
import { ddlEvent } from '../../../test/support/ddl-event.ts'
import { testTable } from '../../../test/support/table-version.ts'
import { CdcError } from '../../base/errors.ts'
import { Messages } from '../../event/encoded.ts'
import type { Value, Values } from '../../event/row-change.ts'
import { ColumnFlag, type TableVersion } from '../../event/table-version.ts'
import type { JsonValue } from '../../tidb/json-big.ts'
import { MysqlType } from '../../tidb/table-info.ts'
import { Ts } from '../../tidb/ts.ts'
import { sameValue } from '../../tidb/value.ts'
import { decodeMaxwell } from './decode.ts'
import { createMaxwell } from './encode.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR']
const file =
  folder === undefined ? join(import.meta.dirname, 'vectors/maxwell.json') : join(folder, 'protocols/maxwell.json')
const { vectors } = JSON.parse(readFileSync(file, 'utf8'))
const vector = (id: string) => vectors.find((one: { id: string }) => one.id === id)
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString('utf8')

interface Sides {
  readonly before?: Values
  readonly after?: Values
}

function encode(table: TableVersion, rows: readonly Sides[], changes = {}, commitTs = Ts(446266400629063682n)) {
  const messages = new Messages()
  const encoder = createMaxwell(codecSettings(changes)).compile(table)
  for (const { before, after } of rows) encoder.encode({ startTs: Ts(1n), commitTs, before, after }, 0, messages)
  encoder.flush(messages)
  return messages
}

test('vectors', (t) => {
  const insert = vector('maxwell-insert-computed')
  const table = testTable({ columns: { col1: 'int primary key' } })
  const [message] = encode(table, [{ after: [10] }])
  assert.equal(Buffer.from(message?.key ?? []).toString('base64'), insert.key)
  assert.equal(text(message?.value), insert.value)
  const daemon = vector('maxwell-delete-computed')
  assert.deepEqual(decodeMaxwell(utf8(daemon.value)), [
    { kind: 'row', schema: 'a', table: 'b', seconds: 1n, before: new Map([['id', '1']]), after: undefined },
  ])
  t.diagnostic(`maxwell: ${vectors.length} vectors, 1 encoded byte for byte, 1 decoded`)
})

test('rows of a batch follow each other without separator', () => {
  const table = testTable({ columns: { id: 'int primary key', v: 'varbinary(9)', a: 'varchar(9)' } })
  const [message, ...more] = encode(table, [
    { after: [1, utf8('\0'), utf8('<x>')] },
    { before: [1, utf8('\0'), null], after: [1, utf8('\0'), utf8('y')] },
    { before: [1, utf8('\0'), null], after: [1, utf8('\0'), null] },
    { before: [1, null, null] },
  ])
  assert.equal(more.length, 0)
  assert.equal(message?.rows, 4)
  const head = (type: string): string => `{"database":"test","table":"t","type":"${type}","ts":1702371218`
  assert.equal(
    text(message?.value),
    `${head('insert')},"data":{"a":"\\u003cx\\u003e","id":1,"v":"AA=="}}` +
      `${head('update')},"data":{"a":"y","id":1,"v":"AA=="},"old":{"a":null}}` +
      `${head('update')},"data":{"a":null,"id":1,"v":"AA=="}}` +
      `${head('delete')},"old":{"a":null,"id":1,"v":null}}`,
  )
  const [deletion] = encode(table, [{ before: [1, null, null] }], { deleteOnlyOutputHandleKeyColumns: true })
  assert.equal(text(deletion?.value), `${head('delete')},"old":{"id":1}}`)
})

test('every column type', () => {
  const { table, values, texts } = allTypes()
  const [message] = encode(table, [{ after: values }])
  const [event] = decodeMaxwell(message?.value ?? utf8(''))
  assert.ok(event?.kind === 'row')
  for (const [i, { name, flags, info }] of table.columns.entries()) {
    const expected = jsonOf(values[i] ?? null, (flags & ColumnFlag.Binary) !== 0)
    const actual: JsonValue = event.after?.get(name) ?? null
    assert.deepEqual(
      info.type.tp === MysqlType.Float ? Math.fround(Number(actual)) : actual,
      expected,
      `${name} ${info.type.tp} ${texts.get(name)}`,
    )
  }
})

/** What a value is in a document. */
function jsonOf(value: Value, binary: boolean): JsonValue {
  if (value instanceof Float32Array) return `[${[...value].join(',')}]`
  if (value instanceof Uint8Array) return binary ? Buffer.from(value).toString('base64') : text(value)
  return value
}

test('what is encoded decodes to the same rows', () => {
  fc.assert(
    fc.property(tableAndRow, ({ table, row }) => {
      const [message] = encode(table, [row as Sides, row as Sides], {}, row.commitTs)
      const events = decodeMaxwell(message?.value ?? utf8(''))
      assert.equal(events.length, 2)
      for (const event of events) {
        assert.ok(event.kind === 'row')
        assert.equal(event.seconds, (row.commitTs >> 18n) / 1000n)
        for (const [side, values] of [
          [event.before, row.before],
          [event.after, row.after],
        ] as const) {
          assert.equal(side === undefined, values === undefined)
          for (const [i, { name, flags, info }] of table.columns.entries()) {
            const value = values?.[i] ?? null
            if (value instanceof Float32Array || side === undefined) continue
            const decoded = side.get(name) ?? null
            // The text of a whole DOUBLE beyond 2^53 reads as an integer.
            if (typeof value === 'number' && info.type.tp === MysqlType.Float)
              assert.equal(Math.fround(Number(decoded)), value)
            else if (typeof value === 'number') assert.equal(Number(decoded), value)
            else assert.ok(sameValue(decoded as Value, jsonOf(value, (flags & ColumnFlag.Binary) !== 0) as Value))
          }
        }
      }
    }),
    { numRuns: 200 },
  )
})

test('DDLs come back; their key is the bare one of open-protocol', () => {
  const after = testTable({ columns: { id: 'int primary key', t: 'text' } })
  const protocol = createMaxwell(codecSettings())
  const ddl = protocol.ddl(
    ddlEvent({ commitTs: Ts(5n), type: 3, query: 'create table <t>', schema: 'test', table: 't', after }),
  )
  assert.equal(text(ddl?.key), '{"ts":5,"scm":"test","tbl":"t","t":2}')
  assert.equal(
    text(ddl?.value),
    '{"type":"table-create","database":"test","table":"t",' +
      '"old":{"database":"","table":"","columns":null,"primary-key":null},' +
      '"def":{"database":"test","table":"t","columns":[{"type":"int","name":"id"},{"type":"string","name":"t"}],"primary-key":null},' +
      '"ts":5,"sql":"create table \\u003ct\\u003e"}',
  )
  assert.equal(protocol.watermark(Ts(5n)), undefined)
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(Ts),
      fc.integer({ min: 1, max: 73 }),
      (query, commitTs, type) => {
        const message = protocol.ddl(ddlEvent({ commitTs, query, schema: query, type }))
        const [event] = decodeMaxwell(message?.value ?? utf8(''))
        assert.ok(event?.kind === 'ddl')
        assert.deepEqual([event.schema, event.table, event.commitTs, event.query], [query, '', commitTs, query])
      },
    ),
  )
})

test('whatever arrives, the error is a named one', () => {
  const document = { database: 'a', table: 'b', type: 'update', ts: 1, data: { id: 1 }, old: {} }
  const members = fc.dictionary(fc.constantFrom(...Object.keys(document)), fc.jsonValue())
  const garbled = fc.oneof(
    fc.uint8Array(),
    fc.json().map(utf8),
    members.map((changes) => utf8(JSON.stringify({ ...document, ...changes }))),
  )
  fc.assert(
    fc.property(garbled, (bytes) => {
      try {
        decodeMaxwell(bytes)
      } catch (error) {
        assert.ok(error instanceof CdcError && error.code === 'CDC:ErrMaxwellInvalidData', String(error))
      }
    }),
    { numRuns: 1000 },
  )
})
