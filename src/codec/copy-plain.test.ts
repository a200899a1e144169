import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { copyPlain } from './copy-plain.ts'

const isPlain = (byte: number): boolean => byte >= 0x20 && byte < 0x80 && !'"\\<>&'.includes(String.fromCharCode(byte))

const bytes = fc
  .array(
    fc.oneof(
      { weight: 12, arbitrary: fc.constantFrom(...Buffer.from('azAZ09 ~!#%\x7f`;=?[]')) },
      { weight: 1, arbitrary: fc.nat(255) },
    ),
    {
      maxLength: 60,
    },
  )
  .map((list) => Uint8Array.from(list))

test('what is copied is plain, and it stops at most seven bytes before a byte that is not', () => {
  fc.assert(
    fc.property(bytes, fc.nat(9), fc.nat(9), (text, before, at) => {
      const from = Buffer.concat([Buffer.alloc(before, 0x61), text, Buffer.from('"')])
      const to = new Uint8Array(100)
      const view = (array: Uint8Array): DataView => new DataView(array.buffer, array.byteOffset, array.length)
      const copied = copyPlain(view(from), before, before + text.length, view(to), at)
      assert.ok(text.subarray(0, copied).every(isPlain))
      assert.deepEqual(to.subarray(at, at + copied), text.subarray(0, copied))
      if (copied < text.length) assert.ok(!text.subarray(copied, copied + 8).every(isPlain))
    }),
    { numRuns: 5000 },
  )
})

test('every byte that is not plain stops it, at every place in a group', () => {
  for (let byte = 0; byte < 256; byte++)
    for (let place = 0; place < 16; place++) {
      const text = new Uint8Array(16).fill(0x61)
      text[place] = byte
      const copied = copyPlain(new DataView(text.buffer), 0, 16, new DataView(new ArrayBuffer(16)), 0)
      if (isPlain(byte)) assert.equal(copied, 16)
      else assert.ok(copied <= place, `${byte} at ${place}: ${copied}`)
    }
})
