import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChangefeedState } from '../../event/changefeed.ts'
import { Ts } from '../../tidb/ts.ts'
import { AdminJob, type RunningError } from '../handle.ts'
import {
  adoptFeedState,
  blocksGc,
  type FeedClock,
  type FeedInput,
  type FeedState,
  isRunning,
  nextFeedState,
} from './feed-state.ts'

const errorOf = (code: string, message = code): RunningError => ({ time: '', addr: '', code, message })
const clockAt = (now: number): FeedClock => ({ now, stuckMs: 1_800_000, newEpoch: 2n, random: 0.5, errorOf })

const feedIn = (state: ChangefeedState, more: Partial<FeedState> = {}): FeedState => ({
  ...adoptFeedState({ state, adminJob: AdminJob.None, error: undefined, warning: undefined, epoch: 1n }, Ts(10n), 0),
  ...more,
})

const retryable: FeedInput = { type: 'error', error: errorOf('CDC:ErrKafkaSendMessage') }
const wrapped: FeedInput = { type: 'error', error: errorOf('', 'outer: [CDC:ErrDispatcherFailed]inner') }
const gc: FeedInput = { type: 'error', error: errorOf('CDC:ErrSnapshotLostByGC') }
const warning: FeedInput = { type: 'warning', warning: errorOf('CDC:ErrKafkaSendMessage') }

/** State, input → state after, and whether a run has to end (another epoch). */
const cases: readonly (readonly [ChangefeedState, FeedInput, ChangefeedState, boolean])[] = [
  ['normal', retryable, 'pending', true],
  ['warning', retryable, 'pending', true],
  ['pending', retryable, 'pending', false],
  ['stopped', retryable, 'stopped', false],
  ['normal', wrapped, 'failed', true],
  ['normal', gc, 'failed', true],
  ['pending', gc, 'failed', true],
  ['stopped', gc, 'failed', true],
  ['finished', gc, 'finished', false],
  ['normal', warning, 'warning', false],
  ['stopped', warning, 'stopped', false],
  ['normal', { type: 'pause' }, 'stopped', true],
  ['warning', { type: 'pause' }, 'stopped', true],
  ['pending', { type: 'pause' }, 'stopped', true],
  ['failed', { type: 'pause' }, 'failed', false],
  ['finished', { type: 'pause' }, 'finished', false],
  ['stopped', { type: 'resume', checkpointTs: Ts(10n) }, 'normal', true],
  ['failed', { type: 'resume', checkpointTs: Ts(10n) }, 'normal', true],
  ['finished', { type: 'resume', checkpointTs: Ts(10n) }, 'normal', true],
  ['normal', { type: 'resume', checkpointTs: Ts(10n) }, 'normal', false],
  ['pending', { type: 'resume', checkpointTs: Ts(10n) }, 'pending', false],
  ['normal', { type: 'finish' }, 'finished', true],
  ['warning', { type: 'finish' }, 'finished', true],
  ['stopped', { type: 'finish' }, 'stopped', false],
  ['normal', { type: 'tick' }, 'normal', false],
]

for (const [state, input, expected, ends] of cases) {
  const name = input.type === 'error' ? `error ${input.error.code || input.error.message}` : input.type
  test(`${state}, ${name} → ${expected}`, () => {
    const next = nextFeedState(feedIn(state), input, clockAt(5))
    assert.equal(next.state, expected)
    assert.equal(next.epoch !== 1n, ends)
  })
}

test('pauses between retries double from 10 s to 10 min', () => {
  let feed = feedIn('normal')
  let now = 0
  const pauses: number[] = []
  for (let i = 0; i < 8; i++) {
    feed = nextFeedState(feed, retryable, { ...clockAt(now), stuckMs: Infinity })
    pauses.push((feed.retryAt - now) / 1000)
    assert.equal(nextFeedState(feed, { type: 'tick' }, clockAt(feed.retryAt - 1)).state, 'pending')
    now = feed.retryAt
    feed = nextFeedState(feed, { type: 'tick' }, clockAt(now))
    assert.equal(feed.state, 'warning')
    assert.ok(isRunning(feed.state))
  }
  assert.deepEqual(pauses, [10, 20, 40, 80, 160, 320, 600, 600])
})

test('a changefeed that fails for longer than the stuck duration is given up', () => {
  const first = nextFeedState(feedIn('normal'), retryable, clockAt(0))
  const again = nextFeedState(first, { type: 'tick' }, clockAt(first.retryAt))
  assert.equal(nextFeedState(again, retryable, clockAt(1_800_000)).state, 'pending')
  assert.equal(nextFeedState(again, retryable, clockAt(1_800_001)).state, 'failed')
})

test('state warning ends when the checkpoint has passed the retry and the warning', () => {
  const pending = nextFeedState(feedIn('normal'), retryable, clockAt(0))
  const retried = nextFeedState(pending, { type: 'tick' }, clockAt(10_000))
  const progress = (checkpointTs: bigint): FeedInput => ({
    type: 'progress',
    checkpointTs: Ts(checkpointTs),
    resolvedTs: Ts(99n),
  })
  assert.equal(nextFeedState(retried, progress(10n), clockAt(10_001)).state, 'warning')
  const warned = nextFeedState(nextFeedState(retried, { ...progress(10n) }, clockAt(10_001)), warning, clockAt(10_002))
  const fine = nextFeedState(warned, progress(11n), clockAt(10_003))
  assert.deepEqual([fine.state, fine.error, fine.warning, fine.attempts], ['normal', undefined, undefined, 0])
})

test('a warning without progress fails after the stuck duration, unless there is nothing to do', () => {
  const warned = nextFeedState(feedIn('normal'), warning, clockAt(0))
  const stuck: FeedInput = { type: 'progress', checkpointTs: Ts(10n), resolvedTs: Ts(11n) }
  const idle: FeedInput = { type: 'progress', checkpointTs: Ts(10n), resolvedTs: Ts(10n) }
  const later = 1_800_001
  const failed = nextFeedState(nextFeedState(warned, stuck, clockAt(later)), { type: 'tick' }, clockAt(later))
  assert.deepEqual([failed.state, failed.error?.code], ['failed', 'CDC:ErrChangefeedUnretryable'])
  assert.equal(
    nextFeedState(nextFeedState(warned, idle, clockAt(later)), { type: 'tick' }, clockAt(later)).state,
    'warning',
  )
})

test('a new owner runs a pending changefeed at once', () => {
  assert.equal(nextFeedState(feedIn('pending'), { type: 'tick' }, clockAt(0)).state, 'warning')
})

test('all but ended changefeeds, and those lost to garbage collection, hold it back', () => {
  const holding = (['normal', 'warning', 'pending', 'stopped', 'failed', 'finished', 'removed'] as const).filter(
    (state) => blocksGc(feedIn(state)),
  )
  assert.deepEqual(holding, ['normal', 'warning', 'pending', 'stopped', 'failed'])
  assert.equal(blocksGc(feedIn('failed', { error: errorOf('CDC:ErrGCTTLExceeded') })), false)
})

test('a failed changefeed holds garbage collection back only until its data is given up', () => {
  const failed = feedIn('failed', { error: errorOf('CDC:ErrDispatcherFailed') })
  const givenUp = nextFeedState(failed, gc, clockAt(5))
  assert.equal(blocksGc(givenUp), false)
  assert.equal(nextFeedState(givenUp, gc, clockAt(6)), givenUp)
})
