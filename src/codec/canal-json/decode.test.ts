import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { tableAndRow, valuesByName } from '../../../test/support/arbitrary-row.ts'
import { codecSettings } from '../../../test/support/codec-settings.ts'
import { ddlEvent } from '../../../test/support/ddl-event.ts'
import { CdcError } from '../../base/errors.ts'
import { Messages } from '../../event/encoded.ts'
import { Ts } from '../../tidb/ts.ts'
import { decodeCanalJson, decodeCanalJsonFile } from './decode.ts'
import { createCanalJson } from './encode.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR']
const file =
  folder === undefined
    ? join(import.meta.dirname, 'vectors/canal-json.json')
    : join(folder, 'protocols/canal-json.json')
const { vectors } = JSON.parse(readFileSync(file, 'utf8'))
const vector = (id: string) => vectors.find((one: { id: string }) => one.id === id)
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const now = (): number => 1639633094670

test('what is encoded decodes to the same row, under every option', () => {
  const options = fc.record({
    enableTidbExtension: fc.boolean(),
    contentCompatible: fc.boolean(),
    onlyOutputUpdatedColumns: fc.boolean(),
  })
  fc.assert(
    fc.property(tableAndRow, options, ({ table, row }, settings) => {
      const messages = new Messages()
      createCanalJson(codecSettings(settings), now).compile(table).encode(row, 0, messages)
      const [event, ...more] = decodeCanalJson(messages.at(0)?.value ?? utf8(''))
      assert.ok(event?.kind === 'row' && more.length === 0)
      assert.deepEqual([event.schema, event.table, event.ts], ['test', 't', now()])
      assert.equal(event.commitTs, settings.enableTidbExtension ? row.commitTs : undefined)
      assert.equal(event.es, Number(row.commitTs >> 18n))
      assert.deepEqual(event.after, valuesByName(table, row.after))
      assert.deepEqual(event.before, valuesByName(table, row.before))
    }),
    { numRuns: 300 },
  )
})

test('a storage file decodes to its rows, whatever the terminator', () => {
  const runs = fc.array(tableAndRow, { maxLength: 5 })
  fc.assert(
    fc.property(runs, fc.constantFrom('\n', '\r\n', '|', '}'), (rows, terminator) => {
      const messages = new Messages()
      for (const { table, row } of rows) createCanalJson(codecSettings(), now).compile(table).encode(row, 0, messages)
      const end = utf8(terminator)
      const events = [
        ...decodeCanalJsonFile(Buffer.concat([...messages].flatMap(({ value }) => [value ?? end, end])), terminator),
      ]
      assert.deepEqual(
        events,
        [...messages].flatMap(({ value }) => decodeCanalJson(value ?? end)),
      )
    }),
    { numRuns: 50 },
  )
  const events = [...decodeCanalJsonFile(utf8(vector('canal-storage-file').value), '\n')]
  assert.equal(events.length, vector('canal-storage-file').expect.rows)
  assert.deepEqual(
    events.map((event) => event.kind === 'row' && event.after?.get('HireDate')),
    ['2014-06-04', '2015-10-08', undefined],
  )
})

test('messages of the documents decode', () => {
  const [update] = decodeCanalJson(utf8(vector('canal-storage-line-update').value))
  assert.ok(update?.kind === 'row')
  assert.deepEqual(update.before?.get('OfficeLocation'), utf8('New York'))
  assert.deepEqual(update.after?.get('id'), 101)
  const [deletion] = decodeCanalJson(utf8(vector('canal-storage-line-delete').value))
  assert.ok(deletion?.kind === 'row')
  assert.deepEqual([deletion.before?.get('id'), deletion.after], [101, undefined])
  const [insert] = decodeCanalJson(utf8(vector('canal-insert-ints-ext').value))
  assert.ok(insert?.kind === 'row')
  assert.deepEqual(
    [insert.commitTs, insert.after?.get('c_bigint'), insert.pkNames],
    [429918007904436226n, 9223372036854775807n, ['id']],
  )
  const [watermark] = decodeCanalJson(utf8(vector('canal-watermark-ext').value))
  assert.ok(watermark?.kind === 'watermark')
  assert.equal(watermark.watermarkTs, 429918007904436226n)
  const [ddl] = decodeCanalJson(utf8(vector('canal-ddl-query-ext').value))
  assert.ok(ddl?.kind === 'ddl')
  assert.deepEqual(
    [ddl.type, ddl.schema, ddl.query, ddl.commitTs],
    ['QUERY', 'test', 'drop database if exists test', 429918007904436226n],
  )
})

test('DDLs and watermarks come back as they were', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(Ts),
      (query, commitTs) => {
        const protocol = createCanalJson(codecSettings({ enableTidbExtension: true }), now)
        const ddl = protocol.ddl(ddlEvent({ commitTs, query, schema: query, table: 't', type: 3 }))
        const times = { es: Number(commitTs >> 18n), ts: now() }
        assert.deepEqual(decodeCanalJson(ddl?.value ?? utf8('')), [
          { kind: 'ddl', schema: query, table: 't', commitTs, ...times, type: 'CREATE', query },
        ])
        const watermark = protocol.watermark(commitTs)
        assert.deepEqual(decodeCanalJson(watermark?.value ?? utf8('')), [
          { kind: 'watermark', ...times, watermarkTs: commitTs },
        ])
      },
    ),
  )
})

test('whatever arrives, the error is a named one', () => {
  const document = JSON.parse(vector('canal-storage-line-update').value)
  const members = fc.dictionary(fc.constantFrom(...Object.keys(document), '_tidb'), fc.jsonValue())
  const garbled = fc.oneof(
    fc.uint8Array(),
    fc.json().map(utf8),
    members.map((changes) => utf8(JSON.stringify({ ...document, ...changes }))),
  )
  fc.assert(
    fc.property(garbled, (bytes) => {
      for (const decode of [() => decodeCanalJson(bytes), () => [...decodeCanalJsonFile(bytes, '\r\n')]]) {
        try {
          decode()
        } catch (error) {
          assert.ok(error instanceof CdcError && error.code === 'CDC:ErrCanalDecodeFailed', String(error))
        }
      }
    }),
    { numRuns: 1000 },
  )
  assert.throws(() => decodeCanalJson(utf8('{')), { code: 'CDC:ErrCanalDecodeFailed' })
})
