// Random transactions on a simulated cluster that splits, merges, loses leaders, connections, stores and its PD leader
// meanwhile, and the reader held against the cluster's own history. Everything is chosen by a seed.
import assert from 'node:assert/strict'
import { crc32 } from 'node:zlib'

import { type Clock, systemClock } from '../../src/base/clock.ts'
import { describeError } from '../../src/base/errors.ts'
import { silentLog } from '../../src/base/log.ts'
import type { RawRow } from '../../src/event/raw-row.ts'
import { parseJson } from '../../src/tidb/json-big.ts'
import { intHandle, recordKey, tableRecordRange } from '../../src/tidb/key.ts'
import type { Ts } from '../../src/tidb/ts.ts'
import { openPdClient } from '../../src/upstream/pd/client.ts'
import type { PdClient } from '../../src/upstream/pd/pd.ts'
import { openEventFeed } from '../../src/upstream/tikv/event-feed.ts'
import type { EventFeed, FeedSink, Subscription } from '../../src/upstream/tikv/feed.ts'
import { type KvClient, openKvClient } from '../../src/upstream/tikv/kv-client.ts'
import { createRandom, type Random } from './random.ts'
import { SpillingFeed, type SpillingOptions } from './spilling-feed.ts'
import { type Cluster, DEAD_MODES, LIVING_MODES, runTxn, startCluster, type Write } from './simulated-cluster.ts'

/** One change as text, to compare sets of them; undefined for one that changes nothing. */
export function changeText(
  startTs: bigint,
  commitTs: bigint,
  key: Uint8Array,
  value: Uint8Array | undefined,
  old: Uint8Array | undefined,
): string | undefined {
  if (value === undefined && old === undefined) return undefined
  return `${commitTs} ${startTs} ${Buffer.from(key).toString('hex')} ${digest(value)} ${digest(old)}`
}

export const digest = (value: Uint8Array | undefined): string =>
  value === undefined ? '-' : `${value.length}:${crc32(value).toString(16)}`

/** Collects what a subscription gives, and holds it to its promises. */
export class ChangeCollector implements FeedSink {
  readonly startTs: Ts
  readonly changes = new Set<string>()
  resolvedTs: Ts
  error: Error | undefined

  constructor(startTs: Ts) {
    this.startTs = this.resolvedTs = startTs
  }
  row(row: RawRow): void {
    const { startTs, commitTs, key, value, oldValue } = row.toRawKv()
    assert.ok(commitTs > this.resolvedTs, `row at ${commitTs} after resolved ${this.resolvedTs}`)
    const text = changeText(startTs, commitTs, key, value, oldValue)
    if (text !== undefined) this.changes.add(text)
  }
  resolved(ts: Ts): void {
    assert.ok(ts > this.resolvedTs, `resolved ${ts} after ${this.resolvedTs}`)
    this.resolvedTs = ts
  }
  failed(error: Error): void {
    this.error = error
  }
}

export interface StoredVersion {
  readonly key: Buffer
  /** undefined = deleted. */
  readonly value: Buffer | undefined
  readonly startTs: bigint
  readonly commitTs: bigint
}

/** Every version of a table's rows, in the order of their commitTs. */
export async function versionsOf(cluster: Cluster, tableId: bigint): Promise<StoredVersion[]> {
  const found = parseJson(await (await fetch(`${cluster.admin}/history?table=${tableId}`)).text())
  assert.ok(typeof found === 'object' && found !== null && 'versions' in found && Array.isArray(found.versions))
  return found.versions
    .map((one) => ({
      key: Buffer.from(String(one.key), 'hex'),
      value: one.op === 'put' ? Buffer.from(String(one.value), 'base64') : undefined,
      startTs: BigInt(one.startTs),
      commitTs: BigInt(one.commitTs),
    }))
    .toSorted((a, b) => (a.commitTs < b.commitTs ? -1 : 1))
}

/** What the cluster says was committed in (after, upTo], with the old value that each change saw. */
export async function historyOf(cluster: Cluster, tableId: bigint, after: Ts, upTo: Ts): Promise<Set<string>> {
  const versions = await versionsOf(cluster, tableId)
  const changes = new Set<string>()
  const current = new Map<string, Buffer | undefined>()
  for (const { key, value, startTs, commitTs } of versions) {
    const name = key.toString('hex')
    const text = changeText(startTs, commitTs, key, value, current.get(name))
    if (text !== undefined && commitTs > after && commitTs <= upTo) changes.add(text)
    current.set(name, value)
  }
  return changes
}

/** What one has and the other lacks, some of each. */
export function differenceOf(actual: ReadonlySet<string>, expected: ReadonlySet<string>): string {
  const missing = [...expected].filter((text) => !actual.has(text))
  const foreign = [...actual].filter((text) => !expected.has(text))
  if (missing.length + foreign.length === 0) return ''
  const some = (texts: readonly string[]): string => texts.slice(0, 5).join('\n  ')
  return `${missing.length} missing:\n  ${some(missing)}\n${foreign.length} that never were:\n  ${some(foreign)}`
}

export interface Connected extends AsyncDisposable {
  readonly cluster: Cluster
  readonly pd: PdClient
  readonly kv: KvClient
  readonly feed: EventFeed
}

/** Pauses are a tenth as long as in life. */
export const hasty: Clock = {
  ...systemClock,
  monotonic: () => performance.now() * 10,
  sleep: (ms, signal) => systemClock.sleep(ms / 10, signal),
}

/** Where `spilling` is given, what waits for its commit goes to disk at random. */
export async function connect(signal: AbortSignal, spilling?: SpillingOptions): Promise<Connected> {
  const stack = new AsyncDisposableStack()
  const cluster = stack.use(await startCluster())
  const common = { security: {}, log: silentLog, clock: hasty }
  const pd = stack.use(await openPdClient({ endpoints: [cluster.pd], ...common }, signal))
  const kv = stack.use(openKvClient({ pd, ...common }))
  const options = { pd, ...common }
  const feed = stack.use(spilling === undefined ? openEventFeed(options) : new SpillingFeed(options, spilling))
  return { cluster, pd, kv, feed, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

export function randomWrites(random: Random, tableId: bigint, keys: number): Write[] {
  const handles = new Set(Array.from({ length: 1 + random.below(8) }, () => random.below(keys)))
  return [...handles].map((handle) => ({
    key: recordKey(tableId, intHandle(BigInt(handle))),
    value: random.chance(0.2) ? undefined : Buffer.alloc(1 + random.below(600), 97 + random.below(26)),
  }))
}

/** Each with how often it is picked; all end by themselves. */
const FAULTS: readonly (readonly [weight: number, name: string, body: (random: Random) => object])[] = [
  [6, 'split', (random) => ({ count: 1 + random.below(4) })],
  [3, 'merge', () => ({})],
  [5, 'transfer-leader', () => ({})],
  [3, 'cut-streams', (random) => (random.chance(0.5) ? {} : { store: 1 + random.below(3) })],
  [1, 'kill-store', (random) => ({ store: 1 + random.below(3), seconds: 0.3 + random.below(10) / 10 })],
  [1, 'stall', (random) => ({ store: 1 + random.below(3), seconds: 0.3 + random.below(10) / 10 })],
  [1, 'hold-resolved-ts', (random) => ({ seconds: 0.3 + random.below(10) / 10 })],
  [2, 'lock', () => ({ ttlMs: 1 })],
  [2, 'pd-leader', (random) => ({ seconds: random.below(10) / 10 })],
  [
    6,
    'region-error',
    (random) => ({
      kind: random.pick(['epoch_not_match', 'not_leader', 'region_not_found', 'server_is_busy', 'congested']),
      count: 1 + random.below(4),
    }),
  ],
]
const WEIGHT = FAULTS.reduce((sum, [weight]) => sum + weight, 0)

/** A fault of the cluster: its name and what it is asked with, beside the table. */
export function randomFault(random: Random): readonly [name: string, body: object] {
  let at = random.below(WEIGHT)
  for (const [weight, name, body] of FAULTS) {
    at -= weight
    if (at < 0) return [name, body(random)]
  }
  throw new RangeError('no fault was picked')
}

export interface ModelOptions {
  readonly seed: number
  /** Steps of all chapters together: transactions and faults. */
  readonly steps: number
  /** No further chapter begins after that time on `performance.now()`. */
  readonly until?: number
  readonly onChapter?: (text: string) => void
  /** Chance of a subscription to spill after a frame; 0 when absent. */
  readonly spill?: number
}

export interface ModelResult {
  readonly steps: number
  readonly transactions: number
  readonly faults: number
  readonly changes: number
}

const STEPS_PER_CHAPTER = 120
const WRITERS = 4
/** How long resolved-ts may stand still behind the last fault of a chapter, ms of life. */
const ADVANCE_MS = 40_000
const FIRST_TABLE = 2_000n

/**
 * Chapters of steps, each with a table of its own: writers and faults at the same time, subscribers from the beginning and
 * late ones; at its end all of them must have exactly the history. Throws what failed, with the seed and the last faults.
 */
export async function runFeedModel(options: ModelOptions, signal: AbortSignal): Promise<ModelResult> {
  const random = createRandom(options.seed)
  const { spill = 0 } = options
  const spilling = spill > 0 ? { random: createRandom(options.seed + 1), chance: spill, damage: 0.01 } : undefined
  await using connected = await connect(signal, spilling)
  const result = { steps: 0, transactions: 0, faults: 0, changes: 0 }
  for (let chapter = 0; result.steps < options.steps; chapter++) {
    if (performance.now() > (options.until ?? Infinity)) break
    const done = await runChapter(connected, random, options, FIRST_TABLE + BigInt(chapter), signal)
    result.steps += done.steps
    result.transactions += done.transactions
    result.faults += done.faults
    result.changes += done.changes
    options.onChapter?.(`seed ${options.seed}: ${JSON.stringify(result)}`)
  }
  if (connected.feed instanceof SpillingFeed) {
    assert.ok(connected.feed.read > 0, 'nothing was read from disk')
    assert.equal(connected.feed.files.bytes, 0)
  }
  return result
}

async function runChapter(
  { cluster, pd, kv, feed }: Connected,
  random: Random,
  options: ModelOptions,
  tableId: bigint,
  signal: AbortSignal,
): Promise<ModelResult> {
  const told: string[] = []
  const tell = (text: string): void => void told.push(text)
  const range = tableRecordRange(tableId)
  using subscriptions = new DisposableStack()
  const sinks: ChangeCollector[] = []
  const live: { readonly sink: ChangeCollector; subscription: Subscription }[] = []
  subscriptions.defer(() => live.forEach(({ subscription }) => subscription[Symbol.dispose]()))
  const subscribe = (startTs: Ts): void => {
    const sink = new ChangeCollector(startTs)
    sinks.push(sink)
    live.push({ sink, subscription: feed.subscribe(range, startTs, sink) })
  }
  /** Gives one up, as where disk is short, and reads again from where it was. */
  const giveUp = (which: number): void => {
    const one = live[which % live.length]
    if (one === undefined) return
    one.subscription[Symbol.dispose]()
    one.subscription = feed.subscribe(range, one.sink.resolvedTs, one.sink)
  }
  const startTs = await pd.tso(signal)
  subscribe(startTs)
  const keys = 20 + random.below(200)
  const result = { steps: 0, transactions: 0, faults: 0, changes: 0 }
  const target = Math.min(STEPS_PER_CHAPTER, options.steps)
  const commits: Ts[] = [startTs]
  try {
    while (result.steps < target) {
      // What happens is drawn before anything runs, so that the seed alone decides it.
      const programs = Array.from({ length: WRITERS }, () =>
        Array.from({ length: 1 + random.below(4) }, () => ({
          writes: randomWrites(random, tableId, keys),
          mode: random.chance(0.06) ? random.pick(DEAD_MODES) : random.pick(LIVING_MODES),
        })),
      )
      const [name, body] = randomFault(random)
      const late = random.chance(0.15)
      const givenUp = Array.from({ length: random.below(4) }, () => ({
        pauseMs: random.below(20),
        which: random.below(1000),
      }))
      const write = async (program: (typeof programs)[number]): Promise<void> => {
        for (const { writes, mode } of program) {
          try {
            const commitTs = await runTxn(kv, writes, mode, signal, { ttlMs: 3_000n })
            if (commitTs > 0n) commits.push(commitTs)
          } catch (error) {
            // Its outcome is for others to find out, as with any client that gives up.
            signal.throwIfAborted()
            tell(`${mode} gave up: ${describeError(error)}`)
          }
        }
      }
      const fault = async (): Promise<void> => {
        tell(`${name} ${JSON.stringify(body)}`)
        try {
          await cluster.fault(name, { tableId: Number(tableId), ...body })
        } catch (error) {
          tell(`${name} was refused: ${describeError(error)}`)
        }
      }
      const giveUps = async (): Promise<void> => {
        for (const { pauseMs, which } of givenUp) {
          await systemClock.sleep(pauseMs, signal)
          giveUp(which)
        }
      }
      await Promise.all([fault(), giveUps(), ...programs.map(write)])
      if (late) subscribe(random.pick(commits))
      const transactions = programs.reduce((sum, program) => sum + program.length, 0)
      result.transactions += transactions
      result.faults++
      result.steps += transactions + 1
    }
    await cluster.fault('clear', {})
    const endTs = await pd.tso(signal)
    const deadline = performance.now() + ADVANCE_MS
    for (const sink of sinks) {
      while (sink.resolvedTs < endTs) {
        if (sink.error !== undefined) throw sink.error
        if (performance.now() > deadline) throw new Error(`resolved-ts stands at ${sink.resolvedTs}, not at ${endTs}`)
        await systemClock.sleep(5, signal)
      }
    }
    for (const sink of sinks) {
      const expected = await historyOf(cluster, tableId, sink.startTs, endTs)
      const upToEnd = new Set([...sink.changes].filter((text) => BigInt(text.slice(0, text.indexOf(' '))) <= endTs))
      const difference = differenceOf(upToEnd, expected)
      if (difference !== '') throw new Error(`the subscriber from ${sink.startTs} has another history: ${difference}`)
      result.changes += expected.size
    }
  } catch (error) {
    const text = `seed ${options.seed}, table ${tableId}, step ${result.steps}; last:\n  ${told.slice(-12).join('\n  ')}`
    throw new Error(text, { cause: error })
  }
  return result
}
