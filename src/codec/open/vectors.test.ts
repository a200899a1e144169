// Every vector of open-protocol, each held by one test here or named as held elsewhere.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { codecSettings } from '../../../test/support/codec-settings.ts'
import { testTable } from '../../../test/support/table-version.ts'
import type { CodecSettings } from '../../config/sink-settings.ts'
import { Messages } from '../../event/encoded.ts'
import type { Value } from '../../event/row-change.ts'
import { ColumnFlag } from '../../event/table-version.ts'
import { Ts } from '../../tidb/ts.ts'
import { decodeOpenProtocol } from './decode.ts'
import { createOpenProtocol } from './encode.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR']
const file =
  folder === undefined
    ? join(import.meta.dirname, 'vectors/open-protocol.json')
    : join(folder, 'protocols/open-protocol.json')
const { vectors } = JSON.parse(readFileSync(file, 'utf8'))
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const empty = new Uint8Array()
const commitTs = Ts(446266400629063682n)

const counts: Record<string, number> = {}
const counted = (kind: string): void => void (counts[kind] = (counts[kind] ?? 0) + 1)

/** One event with the header and the lengths of a message around it. */
function framed(key: string, value: string): readonly [Uint8Array, Uint8Array] {
  const sized = (bytes: Uint8Array): Buffer => {
    const length = Buffer.alloc(8)
    length.writeBigUInt64BE(BigInt(bytes.length))
    return Buffer.concat([length, bytes])
  }
  return [Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 0, 0, 1]), sized(utf8(key))]), sized(utf8(value))]
}

function encode(
  columns: Record<string, string>,
  values: readonly Value[],
  times = 1,
  changes: Partial<CodecSettings> = {},
) {
  const table = testTable({ columns })
  const common = { ...table, info: { ...table.info, isCommonHandle: true } }
  const encoder = createOpenProtocol(codecSettings(changes)).compile(common)
  const messages = new Messages()
  const row = { startTs: Ts(1n), commitTs, before: undefined, after: values }
  for (let i = 0; i < times; i++) encoder.encode(row, 0, messages)
  encoder.flush(messages)
  return messages
}

const ab = { a: 'varchar(10) primary key', b: 'varchar(10)' }
const aaBb = [utf8('aa'), utf8('bb')]

/** The documents' columns, with types that give them. */
const COLUMN_TYPES: Readonly<Record<string, string>> = {
  'tinyint/bool': 'tinyint',
  bit: 'bit(8)',
  decimal: 'decimal(20,7)',
  enum: "enum('a','b')",
  set: "set('a','b')",
  'tinytext/tinyblob': 'tinytext',
  'mediumtext/mediumblob': 'mediumblob',
  'longtext/longblob': 'longtext',
  varchar: 'varchar(9)',
}

for (const { id, input, config, key, value } of vectors) {
  if (id === 'json-writer-strings' || id === 'message-compression' || id === 'open-binary-quote') {
    counted('in json-text.test.ts, compress.test.ts and encode.test.ts')
  } else if (id.startsWith('open-bytes-')) counted('in encode.test.ts and decode.test.ts')
  else if (id.startsWith('open-doc-'))
    test(id, () => {
      counted('documents')
      const [event, ...more] = decodeOpenProtocol(...framed(key, value))
      assert.equal(more.length, 0)
      const head = JSON.parse(key.replace(/"ts":(\d+)/, '"ts":"$1"'))
      if (event?.kind === 'resolved') assert.equal(event.ts, BigInt(head.ts))
      else {
        assert.ok(event?.kind === 'row')
        const { u, d } = JSON.parse(value)
        const shown = Object.entries((u ?? d) as Record<string, { v: string | number }>)
        const side = u === undefined ? event.before : event.after
        assert.deepEqual([event.commitTs, event.schema, event.table], [BigInt(head.ts), head.scm, head.tbl])
        assert.deepEqual(
          [...(side ?? [])],
          shown.map(([name, { v }]) => [name, typeof v === 'string' ? utf8(v) : v]),
        )
      }
    })
  else if (id === 'open-col-null')
    test(id, () => {
      counted('columns')
      const [event] = decodeOpenProtocol(...framed('{"ts":1,"t":1}', `{"u":{"c":${JSON.stringify(value)}}}`))
      assert.ok(event?.kind === 'row')
      assert.equal(event.after?.get('c'), null)
    })
  else if (id.startsWith('open-col-'))
    test(id, () => {
      counted('columns')
      const png = input.bytesHex !== undefined
      const type = COLUMN_TYPES[input.columnType] ?? input.columnType
      const expected = png ? JSON.parse(value) : value
      const cell = (): Value => {
        if (png) return new Uint8Array(Buffer.from(input.bytesHex, 'hex'))
        if (type === 'vector') return Float32Array.from(JSON.parse(value.v))
        if (/text|blob/.test(type)) return new Uint8Array(Buffer.from(value.v, 'base64'))
        return type.startsWith('varchar') ? utf8(value.v) : value.v
      }
      const [message] = encode({ c: type }, [cell()])
      const text = Buffer.from(message?.value?.subarray(8) ?? empty).toString()
      // The real text of a vector has no blanks, as the vector's note says.
      const v = type === 'vector' ? expected.v.replace(' ', '') : expected.v
      assert.deepEqual([JSON.parse(text).u.c.t, JSON.parse(text).u.c.v], [expected.t, v])
      if (png) assert.ok(text.includes(value.replace('"f":1,', '"f":65,')))
      const [event] = decodeOpenProtocol(message?.key ?? empty, message?.value ?? empty)
      assert.ok(event?.kind === 'row')
      assert.deepEqual(event.after?.get('c'), cell())
    })
  else if (id.startsWith('open-flag-'))
    test(id, () => {
      counted('flags')
      const bits: Readonly<Record<string, number>> = {
        binary: ColumnFlag.Binary,
        handle: ColumnFlag.HandleKey,
        generated: ColumnFlag.GeneratedColumn,
        primary: ColumnFlag.PrimaryKey,
        unique: ColumnFlag.UniqueKey,
        multiple: ColumnFlag.MultipleKey,
        nullable: ColumnFlag.Nullable,
      }
      assert.equal(
        input.flags.reduce((sum: number, name: string) => sum | (bits[name] ?? 0), 0),
        value,
      )
    })
  else if (id === 'open-size-188')
    test(id, () => {
      counted('sizes')
      assert.equal(encode(ab, aaBb, 1, { maxMessageBytes: 188 }).length, 1)
      assert.throws(() => encode(ab, aaBb, 1, { maxMessageBytes: 187 }), { code: 'CDC:ErrMessageTooLarge' })
    })
  else if (id === 'open-batch-256' || id === 'open-batch-size')
    test(id, () => {
      counted('sizes')
      const max = config['max-message-bytes']
      const size = config['max-batch-size'] ?? 16
      const messages = encode(ab, aaBb, input.repeat, { maxMessageBytes: max, maxBatchSize: size })
      for (const message of messages) {
        assert.ok((message.key?.length ?? 0) + (message.value?.length ?? 0) + 36 <= max)
        assert.ok(message.rows <= size)
      }
      assert.equal(
        [...messages].reduce((sum, { rows }) => sum + rows, 0),
        input.repeat,
      )
    })
  else test(id, () => assert.fail(`vector ${id} is not tested`))
}

test('every vector has been tested', (t) => {
  t.diagnostic(`open-protocol: ${vectors.length} vectors: ${JSON.stringify(counts)}`)
  assert.equal(
    Object.values(counts).reduce((a, b) => a + b),
    vectors.length,
  )
})
