import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { CdcError } from '../../base/errors.ts'
import { decompressValue, valueCompressor } from './compress.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR']
const file =
  folder === undefined
    ? join(import.meta.dirname, '../open/vectors/open-protocol.json')
    : join(folder, 'protocols/open-protocol.json')
const { vectors } = JSON.parse(readFileSync(file, 'utf8'))
const { cases } = vectors.find((one: { id: string }) => one.id === 'message-compression')
const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex')

for (const { inHex, lz4Hex, snappyHex } of cases) {
  test(`${inHex.length / 2} bytes compress, and what Go compressed reads back`, () => {
    const input = Buffer.from(inHex, 'hex')
    for (const [name, theirs] of [
      ['lz4', lz4Hex],
      ['snappy', snappyHex],
    ] as const) {
      assert.equal(hex(decompressValue(name, Buffer.from(theirs, 'hex'))), inHex)
      const ours = valueCompressor(name)?.(input)
      assert.ok((ours?.length ?? 0) <= theirs.length / 2 + 8, `${name} takes ${ours?.length} bytes`)
      assert.equal(hex(decompressValue(name, ours ?? input)), inHex)
      if (input.length < 12) assert.equal(hex(ours), theirs)
    }
  })
}

const content = fc.oneof(
  { weight: 3, arbitrary: fc.uint8Array({ maxLength: 200 }) },
  fc
    .tuple(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(3)),
    )
    .map(([words, order]) => Buffer.concat(order.flatMap((i) => words[i % words.length] ?? []))),
  fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 9 }), fc.integer({ min: 60_000, max: 200_000 }))
    .map(([word, size]) => Buffer.alloc(size, word)),
)

for (const name of ['lz4', 'snappy'] as const) {
  test(`${name}: what is compressed reads back`, () => {
    const compress = valueCompressor(name)
    assert.ok(compress !== undefined)
    fc.assert(
      fc.property(content, (input) => {
        assert.deepEqual(Buffer.from(decompressValue(name, compress(input))), Buffer.from(input))
      }),
      { numRuns: 500 },
    )
    const large = Buffer.alloc(9_000_000)
    for (let i = 0; i < large.length; i++) large[i] = (i * i) >> 7
    assert.ok(Buffer.from(decompressValue(name, compress(large))).equals(large))
  })

  test(`${name}: whatever arrives, the error is a named one`, () => {
    const compress = valueCompressor(name)
    assert.ok(compress !== undefined)
    const broken = fc.tuple(content, fc.nat(), fc.nat(255)).map(([input, at, byte]) => {
      const bytes = compress(input)
      bytes[at % bytes.length] = byte
      return bytes
    })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), broken), (bytes) => {
        try {
          decompressValue(name, bytes)
        } catch (error) {
          assert.ok(error instanceof CdcError && error.code === 'CDC:ErrCompressionFailed', String(error))
        }
      }),
      { numRuns: 1000 },
    )
  })
}
