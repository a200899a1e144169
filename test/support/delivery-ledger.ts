/**
 * Holds what a broker appended, in the order over all partitions, to the promises of the pipeline while it arrives, and to
 * the history of the store when that is known.
 */
import { canalJsonMessage, type DeliveredRow } from './delivered.ts'
import { digest, differenceOf } from './feed-model.ts'
import type { RowText } from './workload.ts'

interface Newest {
  /** The highest that arrived. */
  commitTs: bigint
  /** The one that arrived last: a repetition goes on up to the highest. */
  last: bigint
}

/** A row as short text: its `v`, and what stands for its `pad`. */
export const rowText = (row: RowText | undefined): string =>
  row === undefined ? '-' : `${row['v']}:${digest(Buffer.from(row['pad'] ?? ''))}`

/** A change as text, to compare sets of them. */
export const changeOf = (
  table: string,
  id: string,
  commitTs: bigint,
  before: string | undefined,
  after: string | undefined,
): string => `${commitTs} ${table}/${id} ${before ?? '-'} -> ${after ?? '-'}`

const MAX_FAULTS = 20

/** Messages are canal-json's with TiDB's extension, of tables with columns `id`, `v` and `pad`. */
export class DeliveryLedger {
  /** What broke a promise; empty when all is well. */
  readonly faults: string[] = []
  /** Change → how many messages had arrived before it. */
  readonly #changes = new Map<string, number>()
  readonly #ddls = new Set<string>()
  readonly #newest = new Map<string, Newest>()
  readonly #watermarks: bigint[] = []
  readonly #checkpoints: { readonly ts: bigint; readonly arrived: number }[] = []
  #watermark = 0n
  #arrived = 0

  get arrived(): number {
    return this.#arrived
  }

  get changes(): number {
    return this.#changes.size
  }

  receive(partition: number, text: string): void {
    const event = canalJsonMessage({ topic: 't', partition, offset: this.#arrived }, text)
    if (event.kind === 'watermark') this.#receiveWatermark(partition, event.ts)
    else if (event.kind === 'row') this.#receiveRow(event)
    else {
      const name = `ddl ${event.commitTs} ${event.sql} on ${partition}`
      this.#checkLate(name, event.commitTs, !this.#ddls.has(name))
      this.#ddls.add(name)
    }
    this.#arrived++
  }

  /** A checkpoint as the changefeed shows it: all at or below it has arrived, and it never goes back. */
  checkpoint(ts: bigint): void {
    const before = this.#checkpoints.at(-1)
    if (before !== undefined && ts < before.ts) this.#fault(`checkpoint ${ts} after ${before.ts}`)
    if (before === undefined || ts > before.ts) this.#checkpoints.push({ ts, arrived: this.#arrived })
  }

  /** Throws when something broke a promise, or when what arrived up to `upTo` is not `expected`, texts of `changeOf`. */
  verify(expected: ReadonlySet<string>, upTo: bigint): void {
    for (const [name, { commitTs, last }] of this.#newest)
      if (last !== commitTs) this.#fault(`the last message of ${name} is of ${last}, not of ${commitTs}`)
    const found = new Set([...this.#changes.keys()].filter((text) => commitTsOf(text) <= upTo))
    const difference = differenceOf(found, expected)
    if (difference !== '') this.#fault(difference)
    for (const text of expected) {
      const arrivedBefore = this.#changes.get(text) ?? Infinity
      const commitTs = commitTsOf(text)
      const early = this.#checkpoints.find(({ ts, arrived }) => commitTs <= ts && arrivedBefore >= arrived)
      if (early !== undefined) this.#fault(`checkpoint ${early.ts} was shown before this arrived: ${text}`)
    }
    if (this.faults.length > 0) throw new Error(this.faults.join('\n'))
  }

  #receiveWatermark(partition: number, ts: bigint): void {
    const before = this.#watermarks[partition] ?? 0n
    if (ts < before) this.#fault(`partition ${partition}: watermark ${ts} after ${before}`)
    this.#watermarks[partition] = ts
    if (ts > this.#watermark) this.#watermark = ts
  }

  #receiveRow(event: DeliveredRow): void {
    const { table, op, row, before, commitTs } = event
    const id = row['id'] ?? ''
    const [old, now] = op === 'delete' ? [row, undefined] : [before, row]
    const change = changeOf(table, id, commitTs, rowText(old), rowText(now))
    const first = !this.#changes.has(change)
    this.#checkLate(change, commitTs, first)
    if (first) this.#changes.set(change, this.#arrived)
    const name = `${table}/${id}`
    const newest = this.#newest.get(name)
    if (newest === undefined) {
      this.#newest.set(name, { commitTs, last: commitTs })
      return
    }
    if (first && commitTs < newest.commitTs) this.#fault(`after ${newest.commitTs} came first ${change}`)
    if (commitTs > newest.commitTs) newest.commitTs = commitTs
    newest.last = commitTs
  }

  #checkLate(name: string, commitTs: bigint, first: boolean): void {
    if (first && commitTs <= this.#watermark) this.#fault(`below watermark ${this.#watermark} came first ${name}`)
  }

  #fault(text: string): void {
    if (this.faults.length < MAX_FAULTS) this.faults.push(text)
  }
}

const commitTsOf = (change: string): bigint => BigInt(change.slice(0, change.indexOf(' ')))
