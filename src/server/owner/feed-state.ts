import type { ChangefeedState } from '../../event/changefeed.ts'
import type { Ts } from '../../tidb/ts.ts'
import { AdminJob, type RunningError } from '../handle.ts'

/**
 * State of one changefeed (reference: server, section 6). What is stored: state, error, warning, epoch, adminJob; the
 * rest is the owner's memory. Times are ms of the monotonic clock.
 */
export interface FeedState {
  readonly state: ChangefeedState
  readonly adminJob: AdminJob
  readonly error: RunningError | undefined
  readonly warning: RunningError | undefined
  /** Another one whenever the changefeed stops running. */
  readonly epoch: bigint
  /** Failures since the last good period, and when the first of them was. */
  readonly attempts: number
  readonly firstErrorAt: number
  /** In state pending: when it runs again. */
  readonly retryAt: number
  readonly checkpointTs: Ts
  /** When `checkpointTs` was seen to advance last, or the changefeed was last known to be fine. */
  readonly advancedAt: number
  /** The checkpoint that ends state warning is above both. */
  readonly retryCheckpointTs: Ts
  readonly warningCheckpointTs: Ts
}

export type FeedInput =
  | { readonly type: 'error'; readonly error: RunningError }
  /** The changefeed goes on by itself. */
  | { readonly type: 'warning'; readonly warning: RunningError }
  | { readonly type: 'progress'; readonly checkpointTs: Ts; readonly resolvedTs: Ts }
  | { readonly type: 'tick' }
  | { readonly type: 'pause' }
  | { readonly type: 'resume'; readonly checkpointTs: Ts }
  | { readonly type: 'finish' }

export interface FeedClock {
  /** Monotonic, ms. */
  readonly now: number
  /** `changefeed-error-stuck-duration`, ms. */
  readonly stuckMs: number
  /** Epoch to take when one is needed; above the present one. */
  readonly newEpoch: bigint
  /** In [0, 1): spreads the pauses. */
  readonly random: number
  /** An error that says that the state itself gave up. */
  readonly errorOf: (code: string, message: string) => RunningError
}

const BACKOFF_BASE_MS = 10_000
const BACKOFF_CAP_MS = 600_000
const BACKOFF_SPREAD = 0.1

const GC_CODES = ['CDC:ErrGCTTLExceeded', 'CDC:ErrSnapshotLostByGC', 'CDC:ErrStartTsBeforeGC']
const UNRETRYABLE_CODES = [
  'CDC:ErrExpressionColumnNotFound',
  'CDC:ErrInvalidFilterExpression',
  'CDC:ErrSchemaSnapshotNotFound',
  'CDC:ErrSyncRenameTableFailed',
  'CDC:ErrChangefeedUnretryable',
  'CDC:ErrCorruptedDataMutation',
  'CDC:ErrDispatcherFailed',
  'CDC:ErrColumnSelectorFailed',
  'CDC:ErrSinkURIInvalid',
  'CDC:ErrKafkaInvalidConfig',
  'CDC:ErrMySQLInvalidConfig',
  'CDC:ErrStorageSinkInvalidConfig',
]

/** A code counts wherever it stands: an error may be wrapped in another one. */
const names = (error: RunningError, codes: readonly string[]): boolean =>
  codes.some((code) => error.code === code || error.message.includes(code))

export const isGcError = (error: RunningError | undefined): boolean => error !== undefined && names(error, GC_CODES)

/** True for the states in which the changefeed replicates. */
export const isRunning = (state: ChangefeedState): boolean => state === 'normal' || state === 'warning'

/** True where the changefeed's checkpoint holds the upstream's garbage collection back. */
export const blocksGc = (feed: Pick<FeedState, 'state' | 'error'>): boolean =>
  feed.state === 'failed' ? !isGcError(feed.error) : !['finished', 'removed'].includes(feed.state)

/** What is stored, taken up by a new owner: a changefeed that waited for a retry runs at once. */
export function adoptFeedState(
  stored: Pick<FeedState, 'state' | 'adminJob' | 'error' | 'warning' | 'epoch'>,
  checkpointTs: Ts,
  now: number,
): FeedState {
  const memory = { attempts: 0, firstErrorAt: now, retryAt: now, checkpointTs, advancedAt: now }
  return { ...stored, ...memory, retryCheckpointTs: checkpointTs, warningCheckpointTs: checkpointTs }
}

/** The state after an input. The same object where nothing changes. */
export function nextFeedState(feed: FeedState, input: FeedInput, clock: FeedClock): FeedState {
  switch (input.type) {
    case 'error':
      return onError(feed, input.error, clock)
    case 'warning':
      if (!isRunning(feed.state)) return feed
      return { ...feed, state: 'warning', warning: input.warning, warningCheckpointTs: feed.checkpointTs }
    case 'progress':
      return onProgress(feed, input.checkpointTs, input.resolvedTs, clock)
    case 'tick':
      return onTick(feed, clock)
    case 'pause':
      if (!isRunning(feed.state) && feed.state !== 'pending') return feed
      return { ...feed, state: 'stopped', adminJob: AdminJob.Stop, epoch: clock.newEpoch }
    case 'resume':
      if (!['stopped', 'failed', 'finished'].includes(feed.state)) return feed
      return {
        ...adoptFeedState(
          { ...feed, state: 'normal', error: undefined, warning: undefined },
          input.checkpointTs,
          clock.now,
        ),
        adminJob: AdminJob.None,
        epoch: clock.newEpoch,
      }
    case 'finish':
      if (!isRunning(feed.state)) return feed
      return {
        ...feed,
        state: 'finished',
        adminJob: AdminJob.Finish,
        epoch: clock.newEpoch,
        error: undefined,
        warning: undefined,
      }
  }
}

function onError(feed: FeedState, error: RunningError, clock: FeedClock): FeedState {
  const failed: FeedState = { ...feed, state: 'failed', error, adminJob: AdminJob.Stop, epoch: clock.newEpoch }
  if (names(error, GC_CODES)) {
    // One that failed of something else holds garbage collection back until its data is given up too.
    const givenUp = feed.state === 'failed' && isGcError(feed.error)
    return givenUp || ['finished', 'removed'].includes(feed.state) ? feed : failed
  }
  if (!isRunning(feed.state)) return feed
  if (names(error, UNRETRYABLE_CODES)) return failed
  const firstErrorAt = feed.attempts === 0 ? clock.now : feed.firstErrorAt
  if (clock.now - firstErrorAt > clock.stuckMs) return failed
  const pauseMs = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** feed.attempts)
  const spread = 1 + BACKOFF_SPREAD * (2 * clock.random - 1)
  return {
    ...feed,
    state: 'pending',
    error,
    adminJob: AdminJob.Stop,
    epoch: clock.newEpoch,
    attempts: feed.attempts + 1,
    firstErrorAt,
    retryAt: clock.now + pauseMs * spread,
  }
}

function onProgress(feed: FeedState, checkpointTs: Ts, resolvedTs: Ts, clock: FeedClock): FeedState {
  if (!isRunning(feed.state)) return feed
  const advanced = checkpointTs > feed.checkpointTs
  // A changefeed with nothing to send is not stuck.
  const fine = advanced || checkpointTs >= resolvedTs
  const seen = fine ? { ...feed, checkpointTs, advancedAt: clock.now } : feed
  if (feed.state !== 'warning') return seen
  if (checkpointTs > feed.retryCheckpointTs && checkpointTs > feed.warningCheckpointTs)
    return { ...seen, state: 'normal', error: undefined, warning: undefined, attempts: 0 }
  return seen
}

function onTick(feed: FeedState, clock: FeedClock): FeedState {
  if (feed.state === 'pending' && clock.now >= feed.retryAt)
    return {
      ...feed,
      state: 'warning',
      adminJob: AdminJob.None,
      retryCheckpointTs: feed.checkpointTs,
      advancedAt: clock.now,
    }
  if (feed.state === 'warning' && clock.now - feed.advancedAt > clock.stuckMs) {
    const seconds = Math.round((clock.now - feed.advancedAt) / 1000)
    const cause = feed.warning?.message ?? feed.error?.message ?? ''
    const text = `changefeed is in unretryable state: its checkpoint has not advanced for ${seconds} s${cause === '' ? '' : `: ${cause}`}`
    const error = clock.errorOf('CDC:ErrChangefeedUnretryable', `[CDC:ErrChangefeedUnretryable]${text}`)
    return { ...feed, state: 'failed', error, adminJob: AdminJob.Stop, epoch: clock.newEpoch }
  }
  return feed
}
