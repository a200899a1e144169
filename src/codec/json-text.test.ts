import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { jsonString, JsonWriter, type JsonEscapes } from './json-text.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR']
const file =
  folder === undefined
    ? join(import.meta.dirname, 'open/vectors/open-protocol.json')
    : join(folder, 'protocols/open-protocol.json')
const { vectors } = JSON.parse(readFileSync(file, 'utf8'))
const { cases } = vectors.find((one: { id: string }) => one.id === 'json-writer-strings')

const write = (controls: JsonEscapes, into: (out: JsonWriter) => void): string => {
  const out = new JsonWriter(controls)
  into(out)
  return Buffer.from(out.take()).toString('latin1')
}

for (const { inHex, encodingJsonHex, easyjsonHex, goccyHex } of cases) {
  test(`bytes ${inHex} are written as Go's writers do`, () => {
    const bytes = Buffer.from(inHex, 'hex')
    const hex = (controls: JsonEscapes): string =>
      Buffer.from(`"${write(controls, (out) => out.utf8(bytes))}"`, 'latin1').toString('hex')
    assert.equal(hex('short'), encodingJsonHex)
    assert.equal(hex('hex'), easyjsonHex)
    assert.equal(hex('hex'), goccyHex)
  })
}

test('a text, its bytes and its name form are written alike, and read back as they were', () => {
  for (const controls of ['short', 'hex'] as const) {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (value) => {
        const bytes = new TextEncoder().encode(value)
        const fromText = write(controls, (out) => out.text(value))
        assert.equal(
          fromText,
          write(controls, (out) => out.utf8(bytes)),
        )
        assert.equal(Buffer.from(jsonString(value, controls)).toString('latin1'), `"${fromText}"`)
        assert.equal(JSON.parse(Buffer.from(`"${fromText}"`, 'latin1').toString()), value)
      }),
    )
  }
})

test('invalid UTF-8 becomes U+FFFD wherever the standard decoder sees a fault', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const written: string = JSON.parse(
        Buffer.from(`"${write('hex', (out) => out.utf8(bytes))}"`, 'latin1').toString(),
      )
      const standard = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
      assert.equal(written.replaceAll(/\ufffd+/g, '\ufffd'), standard.replaceAll(/\ufffd+/g, '\ufffd'))
    }),
  )
})

test('Latin-1 bytes read back as characters of their codes', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const written: string = JSON.parse(
        Buffer.from(`"${write('hex', (out) => out.latin1(bytes))}"`, 'latin1').toString(),
      )
      assert.deepEqual(Buffer.from(written, 'latin1'), Buffer.from(bytes))
    }),
  )
})

test('base64 is the standard one', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) =>
      assert.equal(
        write('hex', (out) => out.base64(bytes)),
        Buffer.from(bytes).toString('base64'),
      ),
    ),
  )
})

test('integers are written in full', () => {
  const integer = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.bigInt({ min: -(1n << 63n), max: (1n << 64n) - 1n }))
  fc.assert(
    fc.property(integer, (value) =>
      assert.equal(
        write('hex', (out) => out.integer(value)),
        String(value),
      ),
    ),
  )
  for (let value = 1; value < 1e12; value *= 10) {
    for (const one of [value - 1, value])
      assert.equal(
        write('hex', (out) => out.integer(one)),
        String(one),
      )
  }
})

test('messages stay as they are while others follow, however long', () => {
  const out = new JsonWriter('hex')
  const sizes = fc.array(fc.integer({ min: 0, max: 200_000 }), { maxLength: 20 })
  fc.assert(
    fc.property(sizes, (lengths) => {
      const texts = lengths.map((length, i) => String.fromCharCode(97 + i).repeat(length))
      const messages = texts.map((one, i) => {
        out.ascii('left over')
        out.discard()
        for (let at = 0; at < one.length; at += 7_000) {
          const piece = one.slice(at, at + 7_000)
          if (i % 2 === 0) out.text(piece)
          else out.utf8(Buffer.from(piece))
        }
        return out.take()
      })
      assert.ok(messages.every((message, i) => Buffer.from(message).toString() === texts[i]))
    }),
    { numRuns: 20 },
  )
})
