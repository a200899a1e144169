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
import { sameValue } from '../../tidb/value.ts'
import { decodeOpenProtocol, type OpenEvent } from './decode.ts'
import { createOpenProtocol } from './encode.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR']
const file =
  folder === undefined
    ? join(import.meta.dirname, 'vectors/open-protocol.json')
    : join(folder, 'protocols/open-protocol.json')
const { vectors } = JSON.parse(readFileSync(file, 'utf8'))
const empty = new Uint8Array()

/** Rows of messages of old producers, in the shape of the vectors. */
function shape(event: OpenEvent): unknown {
  switch (event.kind) {
    case 'resolved':
      return { key: { ts: Number(event.ts), t: 3 }, value: null }
    case 'ddl': {
      const key = { ts: Number(event.commitTs), scm: event.schema, tbl: event.table, t: 2 }
      return { key, value: { q: event.query, t: event.type } }
    }
    case 'row': {
      const ptn = event.partitionId === undefined ? {} : { ptn: Number(event.partitionId) }
      const key = { ts: Number(event.commitTs), scm: event.schema, tbl: event.table, ...ptn, t: 1 }
      const columns = [...(event.after ?? [])].map(([name, v]) => [name, { t: event.columns.get(name)?.type, v }])
      return { key, value: { u: Object.fromEntries(columns) } }
    }
  }
}

for (const { id, key, value, decoded } of vectors) {
  if (decoded === undefined) continue
  test(`${id} decodes to ${decoded.length} events`, () => {
    const events = decodeOpenProtocol(Buffer.from(key, 'base64'), Buffer.from(value, 'base64'))
    assert.deepEqual(events.map(shape), decoded)
  })
}

test('what is encoded decodes to the same rows', () => {
  const settings = fc.record({ onlyOutputUpdatedColumns: fc.boolean(), maxBatchSize: fc.integer({ min: 1, max: 4 }) })
  fc.assert(
    fc.property(fc.array(tableAndRow, { maxLength: 6 }), settings, (cases, options) => {
      const protocol = createOpenProtocol(codecSettings(options))
      for (const { table, row } of cases) {
        const messages = new Messages()
        const encoder = protocol.compile(table)
        for (let i = 0; i < 3; i++) encoder.encode(row, 0, messages)
        encoder.flush(messages)
        const events = [...messages].flatMap((message) =>
          decodeOpenProtocol(message.key ?? empty, message.value ?? empty),
        )
        assert.equal(events.length, 3)
        for (const event of events) {
          assert.ok(event.kind === 'row')
          assert.deepEqual([event.commitTs, event.schema, event.table], [row.commitTs, 'test', 't'])
          assert.deepEqual(event.after, valuesByName(table, row.after))
          const { before, after } = row
          const silent =
            options.onlyOutputUpdatedColumns && before?.every((value, i) => sameValue(value, after?.[i] ?? null))
          if (after === undefined || silent !== true) assert.deepEqual(event.before, valuesByName(table, before))
          else assert.equal(event.before, undefined, 'an update that changes nothing has no old values')
        }
      }
    }),
    { numRuns: 100 },
  )
})

test('DDLs and resolved events come back as they were', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(Ts),
      (query, commitTs) => {
        const protocol = createOpenProtocol(codecSettings())
        const ddl = protocol.ddl(ddlEvent({ commitTs, query, schema: query, type: 3 }))
        const expected = { kind: 'ddl', commitTs, schema: query, table: '', type: 3, query }
        assert.deepEqual(decodeOpenProtocol(ddl?.key ?? empty, ddl?.value ?? empty), [expected])
        const resolved = protocol.watermark(commitTs)
        const events = decodeOpenProtocol(resolved?.key ?? empty, resolved?.value ?? empty)
        assert.deepEqual(events, [{ kind: 'resolved', ts: commitTs }])
      },
    ),
  )
})

test('whatever arrives, the error is a named one', () => {
  const sized = (text: string): Buffer => {
    const bytes = Buffer.alloc(8 + Buffer.byteLength(text))
    bytes.writeBigUInt64BE(BigInt(bytes.length - 8))
    bytes.write(text, 8)
    return bytes
  }
  const version = Buffer.from([0, 0, 0, 0, 0, 0, 0, 1])
  const column = fc.record(
    { t: fc.integer({ min: 0, max: 255 }), f: fc.nat(255), v: fc.jsonValue() },
    { requiredKeys: [] },
  )
  const row = fc.dictionary(
    fc.constantFrom('u', 'p', 'd'),
    fc.dictionary(fc.string(), fc.oneof(column, fc.jsonValue())),
  )
  const json = fc.oneof(
    fc.json(),
    row.map((one) => JSON.stringify(one)),
    fc.string(),
  )
  const keys = fc.dictionary(
    fc.constantFrom('ts', 'scm', 'tbl', 't', 'ptn', 'ohk', 'ccl'),
    fc.oneof(fc.nat(4), fc.jsonValue()),
  )
  const key = keys.map((one) => Buffer.concat([version, sized(JSON.stringify({ ts: 1, t: 1, ...one }))]))
  const raw = fc.uint8Array().map((bytes) => Buffer.concat([version, bytes]))
  fc.assert(
    fc.property(fc.oneof(key, raw, fc.uint8Array()), fc.oneof(json.map(sized), fc.uint8Array()), (a, b) => {
      try {
        decodeOpenProtocol(a, b)
      } catch (error) {
        assert.ok(error instanceof CdcError && error.code === 'CDC:ErrOpenProtocolCodecInvalidData', String(error))
      }
    }),
    { numRuns: 2000 },
  )
})
