import { compareBytes } from './bytes.ts'

const CHUNK = 512

/** Items in the order of their keys, kept in chunks, so that an insert moves a few hundred pointers and not a million. */
export class SortedMap<T extends { readonly key: Uint8Array }> {
  private readonly chunks: T[][] = []
  private count = 0

  get size(): number {
    return this.count
  }

  get(key: Uint8Array): T | undefined {
    const chunk = this.chunks[this.chunkOf(key)]
    const item = chunk?.[lowerBound(chunk, key)]
    return item !== undefined && compareBytes(item.key, key) === 0 ? item : undefined
  }

  /** Puts an item in the place of the one with the same key, if there is one. */
  set(item: T): void {
    const at = this.chunkOf(item.key)
    const chunk = this.chunks[at]
    if (chunk === undefined) {
      const last = this.chunks.at(-1)
      if (last === undefined) this.chunks.push([item])
      else last.push(item)
      this.count += 1
      if (last !== undefined) this.divide(this.chunks.length - 1)
      return
    }
    const index = lowerBound(chunk, item.key)
    const old = chunk[index]
    if (old !== undefined && compareBytes(old.key, item.key) === 0) {
      chunk[index] = item
      return
    }
    chunk.splice(index, 0, item)
    this.count += 1
    this.divide(at)
  }

  delete(key: Uint8Array): void {
    const at = this.chunkOf(key)
    const chunk = this.chunks[at]
    if (chunk === undefined) return
    const index = lowerBound(chunk, key)
    const item = chunk[index]
    if (item === undefined || compareBytes(item.key, key) !== 0) return
    chunk.splice(index, 1)
    this.count -= 1
    if (chunk.length === 0) this.chunks.splice(at, 1)
  }

  /** Items with start ≤ key < end in key order; an empty `end` is no bound. The map must not change meanwhile. */
  *range(start: Uint8Array, end: Uint8Array): Generator<T> {
    for (let at = this.chunkOf(start); at < this.chunks.length; at++) {
      const chunk = this.chunks[at] ?? []
      for (let index = lowerBound(chunk, start); index < chunk.length; index++) {
        const item = chunk[index]
        if (item === undefined || (end.length > 0 && compareBytes(item.key, end) >= 0)) return
        yield item
      }
    }
  }

  /** Items with start ≤ key < end from the greatest key down; empty bounds as in {@link range}. */
  *reverse(start: Uint8Array, end: Uint8Array): Generator<T> {
    for (let at = this.chunks.length - 1; at >= 0; at--) {
      const chunk = this.chunks[at] ?? []
      for (let index = end.length > 0 ? lowerBound(chunk, end) - 1 : chunk.length - 1; index >= 0; index--) {
        const item = chunk[index]
        if (item === undefined || compareBytes(item.key, start) < 0) return
        yield item
      }
    }
  }

  /** The first chunk whose last key is not below `key`. */
  private chunkOf(key: Uint8Array): number {
    let low = 0
    let high = this.chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const last = this.chunks[middle]?.at(-1)
      if (last !== undefined && compareBytes(last.key, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  private divide(at: number): void {
    const chunk = this.chunks[at]
    if (chunk !== undefined && chunk.length > CHUNK) this.chunks.splice(at + 1, 0, chunk.splice(CHUNK / 2))
  }
}

function lowerBound(items: readonly { readonly key: Uint8Array }[], key: Uint8Array): number {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const item = items[middle]
    if (item !== undefined && compareBytes(item.key, key) < 0) low = middle + 1
    else high = middle
  }
  return low
}
