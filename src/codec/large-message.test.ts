import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { codecSettings } from '../../test/support/codec-settings.ts'
import { testTable } from '../../test/support/table-version.ts'
import { CdcError } from '../base/errors.ts'
import type { CodecSettings, LargeMessageSettings, MessageCompression, ProtocolName } from '../config/sink-settings.ts'
import { type EncodedMessage, Messages } from '../event/encoded.ts'
import type { RowChange } from '../event/row-change.ts'
import { Ts } from '../tidb/ts.ts'
import { decodeCanalJson } from './canal-json/decode.ts'
import { decompressValue } from './compress/compress.ts'
import { decodeOpenProtocol } from './open/decode.ts'
import { decodeStoredMessage } from './large-message.ts'
import { createProtocol } from './protocols.ts'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const empty = new Uint8Array()
const table = testTable({ columns: { a: 'varchar(9) primary key', b: 'varchar(9)', c: 'longtext' } })
const keyless = testTable({ columns: { b: 'varchar(9)', c: 'longtext' } })

/** Not compressible, so that it stays large. */
const large = Uint8Array.from({ length: 600 }, (_, i) => 33 + (((i * i * 7919) >> 3) % 90))
const small = utf8('x')

const claimCheck = (rawValue: boolean, path = '/claims/'): LargeMessageSettings['handling'] => ({
  option: 'claim-check',
  storage: { kind: 'file', path },
  rawValue,
})

interface Sent extends EncodedMessage {
  /** Without compression. */
  readonly plain: Uint8Array
}

function send(
  protocol: ProtocolName,
  handling: LargeMessageSettings['handling'],
  rows: readonly Partial<RowChange>[],
  changes: Partial<CodecSettings> = {},
  compression: MessageCompression = 'none',
  of = table,
): readonly Sent[] {
  const settings = codecSettings({
    protocol,
    enableTidbExtension: true,
    maxMessageBytes: 700,
    largeMessages: { compression, handling },
    ...changes,
  })
  let ids = 0
  const encoder = createProtocol(settings, { timeZone: 'UTC', now: () => 1, newId: () => `id${++ids}` }).compile(of)
  const messages = new Messages()
  for (const row of rows) {
    encoder.encode({ startTs: Ts(1n), commitTs: Ts(5n), before: undefined, after: undefined, ...row }, 0, messages)
  }
  encoder.flush(messages)
  return [...messages].map((message) => {
    const value = message.value ?? empty
    // The parts of open-protocol are compressed, not the whole.
    return { ...message, plain: protocol === 'open-protocol' ? value : decompressValue(compression, value) }
  })
}

const insert = { after: [utf8('k'), small, large] }
const update = { before: [utf8('k'), small, large], after: [utf8('k'), utf8('y'), large] }
const remove = { before: [utf8('k'), small, large] }
const fitting = { after: [utf8('f'), small, small] }

/** Names of the columns that a message shows, with what it says about itself. */
function shown(protocol: ProtocolName, message: Sent | undefined): unknown {
  const { key, plain } = message ?? { key: null, plain: empty }
  if (protocol === 'canal-json') {
    const [row] = decodeCanalJson(plain)
    assert.ok(row?.kind === 'row')
    return [[...(row.after ?? row.before ?? [])].map(([name]) => name), row.onlyHandleKey, row.claimCheckLocation]
  }
  if (protocol === 'open-protocol') {
    const [row] = decodeOpenProtocol(key ?? empty, plain)
    assert.ok(row?.kind === 'row')
    return [[...(row.after ?? row.before ?? [])].map(([name]) => name), row.onlyHandleKey, row.claimCheckLocation]
  }
  const document = JSON.parse(Buffer.from(plain).toString())
  const columns = Object.keys(document.data ?? document.old ?? {})
  return [columns, document.handleKeyOnly === true, document.claimCheckLocation]
}

const PROTOCOLS = ['canal-json', 'open-protocol', 'simple'] as const

for (const protocol of PROTOCOLS) {
  for (const [kind, row] of Object.entries({ insert, update, remove })) {
    test(`${protocol}: a large ${kind} with handle-key-only has its key columns, in new and old values`, () => {
      const [message, ...more] = send(protocol, { option: 'handle-key-only' }, [row])
      assert.equal(more.length, 0)
      assert.deepEqual(shown(protocol, message), [['a'], true, undefined])
      assert.ok((message?.value?.length ?? 0) < 400)
    })

    test(`${protocol}: a large ${kind} with claim-check is stored whole, as it would have been sent`, () => {
      const [message] = send(protocol, claimCheck(false), [row])
      assert.deepEqual(shown(protocol, message), [['a'], protocol === 'simple', 'file:///claims/id1.json'])
      assert.equal(message?.upload?.name, 'id1.json')
      const content = message?.upload?.content ?? empty
      const stored = JSON.parse(Buffer.from(content).toString())
      const [whole] = send(protocol, { option: 'none' }, [row], { maxMessageBytes: 9999 })
      assert.deepEqual(Object.keys(stored), ['key', 'value'])
      assert.equal(stored.key, whole?.key ? Buffer.from(whole.key).toString('base64') : null)
      assert.equal(stored.value, Buffer.from(whole?.value ?? empty).toString('base64'))
      const { key, value } = decodeStoredMessage(content)
      assert.deepEqual(
        [key && Buffer.from(key), Buffer.from(value)],
        [whole?.key && Buffer.from(whole.key), Buffer.from(whole?.value ?? empty)],
      )
    })
  }

  test(`${protocol}: without handling, or where even the key is too large, the error says so`, () => {
    const error = { code: 'CDC:ErrMessageTooLarge', message: /table:test\.t, length:\d+, maxMessageBytes:\d+$/ }
    assert.throws(() => send(protocol, { option: 'none' }, [insert]), error)
    assert.throws(() => send(protocol, { option: 'handle-key-only' }, [insert], { maxMessageBytes: 90 }), error)
    assert.throws(() => send(protocol, claimCheck(false), [insert], { maxMessageBytes: 90 }), error)
  })

  test(`${protocol}: rows around a large one keep their order, and a failed one leaves nothing behind`, () => {
    const sent = send(protocol, claimCheck(false), [fitting, fitting, insert, fitting])
    const uploads = sent.map(({ upload, rows }) => [upload?.name, rows])
    const single = [undefined, 1]
    assert.deepEqual(
      uploads,
      protocol === 'open-protocol'
        ? [[undefined, 2], ['id1.json', 1], single]
        : [single, single, ['id1.json', 1], single],
    )
  })
}

for (const protocol of ['canal-json', 'simple'] as const)
  test(`${protocol}: claim-check-raw-value stores the value alone`, () => {
    const [message] = send(protocol, claimCheck(true), [insert])
    const [whole] = send(protocol, { option: 'none' }, [insert], { maxMessageBytes: 9999 })
    assert.deepEqual(Buffer.from(message?.upload?.content ?? empty), Buffer.from(whole?.value ?? empty))
  })

test('a table without handle key: open-protocol refuses, canal-json and simple send no column', () => {
  const row = { after: [small, large] }
  const of = (protocol: ProtocolName) => send(protocol, { option: 'handle-key-only' }, [row], {}, 'none', keyless)
  assert.throws(() => of('open-protocol'), { code: 'CDC:ErrOpenProtocolCodecInvalidData' })
  const canal = Buffer.from(of('canal-json')[0]?.plain ?? empty).toString()
  assert.match(
    canal,
    /"sqlType":null,"mysqlType":\{\},"old":null,"data":\[\{\}\],"_tidb":\{"commitTs":5,"onlyHandleKey":true\}\}$/,
  )
  assert.deepEqual(shown('simple', of('simple')[0]), [[], true, undefined])
})

for (const compression of ['lz4', 'snappy'] as const) {
  test(`${compression}: a value counts as compressed; a large one is stored compressed`, () => {
    const repeats = { after: [utf8('k'), small, new Uint8Array(5000).fill(0x61)] }
    for (const protocol of PROTOCOLS) {
      const [message] = send(protocol, { option: 'none' }, [repeats], {}, compression)
      assert.ok((message?.value?.length ?? 999) < 600, `${protocol} sends ${message?.value?.length} bytes`)
      assert.equal(message?.upload, undefined)
      if (protocol !== 'open-protocol') assert.deepEqual(shown(protocol, message), [['a', 'b', 'c'], false, undefined])
    }
    const [claim] = send('canal-json', claimCheck(true), [insert], {}, compression)
    const stored = decompressValue(compression, claim?.upload?.content ?? empty)
    const [whole] = send('canal-json', { option: 'none' }, [insert], { maxMessageBytes: 9999 })
    assert.deepEqual(Buffer.from(stored), Buffer.from(whole?.value ?? empty))
  })

  test(`${compression}: open-protocol compresses the value of each event, behind its length`, () => {
    const [message] = send('open-protocol', { option: 'none' }, [fitting, fitting], {}, compression)
    const value = Buffer.from(message?.value ?? empty)
    const length = Number(value.readBigUInt64BE(0))
    assert.equal(value.length, 2 * (8 + length))
    const event = JSON.parse(Buffer.from(decompressValue(compression, value.subarray(8, 8 + length))).toString())
    assert.equal(event.u.a.v, 'f')
  })

  test(`${compression}: DDLs and watermarks are compressed too`, () => {
    const settings = {
      largeMessages: { compression, handling: { option: 'none' } },
      enableTidbExtension: true,
    } as const
    const protocol = createProtocol(codecSettings(settings), { timeZone: 'UTC', now: () => 1 })
    const [watermark] = decodeCanalJson(decompressValue(compression, protocol.watermark(Ts(9n))?.value ?? empty))
    assert.ok(watermark?.kind === 'watermark')
    assert.equal(watermark.watermarkTs, 9n)
  })
}

test('the location of a bucket has neither parameters nor a slash too many', () => {
  const storage = {
    kind: 's3',
    bucket: 'b',
    prefix: 'p/q',
    region: undefined,
    endpoint: 'http://127.0.0.1:1',
    forcePathStyle: true,
    accelerate: false,
    credentials: { accessKey: 'AKIA', secretAccessKey: 'hush', sessionToken: undefined },
    storageClass: undefined,
    acl: undefined,
    sse: undefined,
    sseKmsKeyId: undefined,
  } as const
  const [message] = send('canal-json', { option: 'claim-check', storage, rawValue: false }, [insert])
  assert.deepEqual(shown('canal-json', message), [['a'], false, 's3://b/p/q/id1.json'])
})

test('whatever is stored, the error is a named one', () => {
  const member = fc.oneof(fc.base64String(), fc.jsonValue())
  const document = fc.record({ key: member, value: member }).map((members) => utf8(JSON.stringify(members)))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), document), (content) => {
      try {
        decodeStoredMessage(content)
      } catch (error) {
        assert.ok(error instanceof CdcError && error.code === 'CDC:ErrCodecDecode', String(error))
      }
    }),
    { numRuns: 500 },
  )
})
