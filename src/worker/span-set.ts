import type { SpanProgress } from '../changefeed/messages.ts'
import { laterTs, maxTs, minTs, type Ts } from '../tidb/ts.ts'
import type { SpanRun } from './span-run.ts'

/**
 * A changefeed's spans in one worker. Ten thousand of them that have little to do must cost little, so nothing goes over
 * all spans at every look: only those that were touched since the look before are looked at, and all of them when the
 * grant has grown.
 */
export class SpanSet {
  readonly #spans = new Map<number, SpanRun>()
  #touched: SpanRun[] = []
  /** Spans whose next rows wait for a grant. */
  #waiting = new Set<SpanRun>()
  /** The set or the grant is another one since the last look. */
  #changed = true

  get size(): number {
    return this.#spans.size
  }

  get(id: number): SpanRun | undefined {
    return this.#spans.get(id)
  }

  values(): IteratorObject<SpanRun> {
    return this.#spans.values()
  }

  add(span: SpanRun): void {
    this.#spans.set(span.span.id, span)
    this.#changed = true
  }

  /** False where it has gone already. */
  delete(span: SpanRun): boolean {
    this.#waiting.delete(span)
    this.#changed = true
    return this.#spans.delete(span.span.id)
  }

  clear(): void {
    this.#spans.clear()
    this.#waiting.clear()
    this.#touched = []
  }

  /** Rows of the span came, were read, resolved or acknowledged. */
  touch(span: SpanRun): void {
    if (span.touched) return
    span.touched = true
    this.#touched.push(span)
  }

  /** The span has rows that may not leave before a later grant. */
  wait(span: SpanRun): void {
    if (this.#has(span)) this.#waiting.add(span)
  }

  /** After a grant: the spans that waited for one. */
  granted(): Iterable<SpanRun> {
    this.#changed = true
    const waiting = this.#waiting
    this.#waiting = new Set()
    return waiting
  }

  /** Moves the checkpoints to where they can be; calls `look` with what was looked at. False where nothing changed. */
  advance(grantTs: Ts, look: (span: SpanRun) => void): boolean {
    if (!this.#changed && this.#touched.length === 0) return false
    const touched: SpanRun[] = []
    for (const span of this.#touched) {
      span.touched = false
      if (!this.#has(span)) continue
      span.settle()
      touched.push(span)
    }
    for (const span of this.#changed ? this.#spans.values() : touched) {
      span.advance(grantTs)
      look(span)
    }
    this.#touched = []
    this.#changed = false
    return true
  }

  /** The maximum ts where there is no span. */
  least(): { readonly checkpointTs: Ts; readonly resolvedTs: Ts } {
    let checkpointTs: Ts = maxTs
    let resolvedTs: Ts = maxTs
    for (const span of this.#spans.values()) {
      checkpointTs = minTs(checkpointTs, span.checkpointTs)
      resolvedTs = minTs(resolvedTs, laterTs(span.sorter.resolvedTs, span.checkpointTs))
    }
    return { checkpointTs, resolvedTs }
  }

  /** The `count` spans that hold the checkpoint back, the slowest first. */
  slowest(count: number): SpanProgress[] {
    const slowest: SpanRun[] = []
    for (const span of this.#spans.values()) {
      const last = slowest[count - 1]
      if (last !== undefined && span.checkpointTs >= last.checkpointTs) continue
      const at = slowest.findIndex((other) => other.checkpointTs > span.checkpointTs)
      slowest.splice(at < 0 ? slowest.length : at, 0, span)
      slowest.length = Math.min(slowest.length, count)
    }
    return slowest.map((span) => ({
      spanId: span.span.id,
      physicalId: span.span.tableId,
      checkpointTs: span.checkpointTs,
      resolvedTs: span.sorter.resolvedTs,
    }))
  }

  /** False where it was removed meanwhile. */
  #has(span: SpanRun): boolean {
    return this.#spans.get(span.span.id) === span
  }
}
