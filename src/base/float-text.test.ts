import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { doubleText, floatText, plainDecimal } from './float-text.ts'

/** Made by Go 1.26: `strconv.FormatFloat(x, 'f', -1, 32)`. */
const floats: readonly (readonly [number, string])[] = [
  [0.1, '0.1'],
  [3.14, '3.14'],
  [16777216, '16777216'],
  [1048576.25, '1048576.2'],
  [264370.625, '264370.62'],
  [0.000244140625, '0.00024414063'],
  [2.3841858e-7, '0.00000023841858'],
  [3.4028234663852886e38, '340282350000000000000000000000000000000'],
  [1.401298464324817e-45, '0.000000000000000000000000000000000000000000001'],
  [-0, '-0'],
  [0, '0'],
]
for (const [value, text] of floats)
  test(`float ${value} = ${text}`, () => assert.equal(plainDecimal(floatText(value)), text))

test('a float reads back from its text, and no shorter text does', () => {
  const float = fc.float({ noNaN: true, noDefaultInfinity: true })
  fc.assert(
    fc.property(float, (value) => {
      const text = floatText(value)
      assert.ok(Object.is(Math.fround(Number(text)), value), text)
      const digits = text.replace(/e.*/, '').replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '').length
      if (digits > 1) assert.notEqual(Math.fround(Number(value.toPrecision(digits - 1))), value)
    }),
  )
})

test('plain decimals have no exponent and the same value', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      const text = plainDecimal(doubleText(value))
      assert.match(text, /^-?\d+(\.\d+)?$/)
      assert.ok(Object.is(Number(text), value))
    }),
  )
})
