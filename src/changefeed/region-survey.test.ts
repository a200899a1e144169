import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { KeyRange } from '../event/span.ts'
import { compareBytes } from '../tidb/key.ts'
import { cutRange, type ScanRegions, surveyRegions } from './region-survey.ts'

const key = (at: number): Uint8Array => (at === 0 ? new Uint8Array() : Uint8Array.of(at >> 8, at & 255))
const range = (from: number, to: number): KeyRange => ({ start: key(from), end: key(to) })
const { signal } = new AbortController()

/** A key space cut at `borders`, in pages of `page`; the last region has no end. */
function scanOf(borders: readonly number[], page: number): ScanRegions {
  const starts = [0, ...borders]
  const regions = starts.map((from, i) => range(from, starts[i + 1] ?? 0))
  return async (start, end) => {
    const first = regions.findLastIndex((region) => compareBytes(region.start, start) <= 0)
    return regions
      .slice(first)
      .filter((region) => compareBytes(region.start, end) < 0)
      .slice(0, page)
  }
}

test('the survey finds each border inside a range once, however ranges, regions and pages lie', async () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 1, max: 400 }), { maxLength: 60, size: 'max' })
  await fc.assert(
    fc.asyncProperty(numbers, numbers, fc.integer({ min: 1, max: 9 }), async (borders, points, page) => {
      const sorted = borders.toSorted((a, b) => a - b)
      const ends = points.toSorted((a, b) => a - b)
      const ranges = ends.flatMap((from, i) =>
        i % 2 === 0 && ends[i + 1] !== undefined ? [[from, ends[i + 1] ?? 0]] : [],
      )
      const asked = ranges.map(([from = 0, to = 0]) => range(from, to)).toReversed()
      const found = await surveyRegions(asked, scanOf(sorted, page), signal)
      const wanted = ranges
        .map(([from = 0, to = 0]) => sorted.filter((at) => at > from && at < to).map(key))
        .toReversed()
      assert.deepEqual(found, wanted)
    }),
  )
})

test('parts cover the range, in order, and have about as many regions each', () => {
  const inner = fc.uniqueArray(fc.integer({ min: 2, max: 999 }), { maxLength: 50 })
  fc.assert(
    fc.property(inner, fc.integer({ min: 1, max: 12 }), (borders, count) => {
      const sorted = borders.toSorted((a, b) => a - b)
      const parts = cutRange(range(1, 1000), sorted.map(key), count)
      assert.equal(parts.length, Math.min(count, borders.length + 1))
      assert.deepEqual([parts[0]?.range.start, parts.at(-1)?.range.end], [key(1), key(1000)])
      for (const [i, part] of parts.entries()) {
        assert.ok(compareBytes(part.range.start, part.range.end) < 0)
        if (i > 0) assert.deepEqual(part.range.start, parts[i - 1]?.range.end)
      }
      const weights = parts.map(({ weight }) => weight)
      assert.equal(
        weights.reduce((a, b) => a + b),
        borders.length + 1,
      )
      assert.ok(Math.max(...weights) - Math.min(...weights) <= 1)
    }),
  )
})
