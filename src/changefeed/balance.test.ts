import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextBalanceStep } from './balance.ts'

type Load = readonly [busy: number, ...spans: [spanId: number, share: number][]]

/** Spans from 100 on may not move, those below 10 may be split. */
function step(...loads: readonly (Load | undefined)[]): object | undefined {
  const found = nextBalanceStep({
    loads: loads.map((load) => {
      if (load === undefined) return undefined
      const [busy, ...spans] = load
      return { busy, spans: spans.map(([spanId, share]) => ({ spanId, share, rowsPerMinute: 0 })) }
    }),
    movable: ({ spanId }) => spanId < 100,
    splittable: ({ spanId }) => spanId < 10,
  })
  return found && { type: found.type, spanId: found.span.spanId, to: found.to }
}

for (const [name, found, wanted] of [
  ['nothing known', step(undefined, undefined), undefined],
  ['one worker', step([0.9, [11, 0.9]]), undefined],
  ['nobody is busy', step([0.35, [11, 0.2]], [0]), undefined],
  ['about even', step([0.8, [11, 0.4], [12, 0.4]], [0.65]), undefined],
  ['the span that evens it out moves', step([0.9, [11, 0.6], [12, 0.3]], [0.3]), { type: 'move', spanId: 12, to: 1 }],
  ['to the idlest', step([0.5, [11, 0.4]], [0.9, [12, 0.4], [13, 0.5]], [0.1]), { type: 'move', spanId: 12, to: 2 }],
  ['a span that would only change places stays', step([0.9, [11, 0.9]], [0]), undefined],
  ['and is split where that is possible', step([0.9, [1, 0.9]], [0]), { type: 'split', spanId: 1, to: 1 }],
  ['what may not move stays', step([0.9, [101, 0.3], [102, 0.3]], [0.1]), undefined],
] as const)
  test(`balance: ${name}`, () => assert.deepEqual(found, wanted))
