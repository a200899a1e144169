import type { Ts } from '../../tidb/ts.ts'

/** Something whose ts only grows; a dead one no longer counts. */
export interface Aging {
  readonly ts: Ts
  readonly dead: boolean
}

/**
 * Minimum over many growing timestamps. Raising one costs nothing; asking for the least costs O(log n) for each item that
 * was raised while it stood at the top. So a table of a hundred thousand regions pays per question, not per update.
 */
export class LazyMinHeap<T extends Aging> {
  readonly #items: T[] = []
  /** The ts under which the item of the same index is filed; at most its real one. */
  readonly #keys: Ts[] = []

  push(item: T): void {
    let at = this.#items.length
    this.#items.push(item)
    this.#keys.push(item.ts)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#less(at, parent)) return
      this.#swap(at, parent)
      at = parent
    }
  }

  least(): T | undefined {
    for (let top = this.#items[0]; top !== undefined; top = this.#items[0]) {
      if (top.dead) this.#removeTop()
      else if (top.ts === this.#keys[0]) return top
      else {
        this.#keys[0] = top.ts
        this.#sink()
      }
    }
    return undefined
  }

  #removeTop(): void {
    const item = this.#items.pop()
    const key = this.#keys.pop()
    if (item === undefined || key === undefined || this.#items.length === 0) return
    this.#items[0] = item
    this.#keys[0] = key
    this.#sink()
  }

  #sink(): void {
    for (let at = 0; ;) {
      let least = at
      if (this.#less(2 * at + 1, least)) least = 2 * at + 1
      if (this.#less(2 * at + 2, least)) least = 2 * at + 2
      if (least === at) return
      this.#swap(at, least)
      at = least
    }
  }

  #less(a: number, b: number): boolean {
    const left = this.#keys[a]
    const right = this.#keys[b]
    return left !== undefined && right !== undefined && left < right
  }

  #swap(a: number, b: number): void {
    const { [a]: itemA, [b]: itemB } = this.#items
    const { [a]: keyA, [b]: keyB } = this.#keys
    if (itemA === undefined || itemB === undefined || keyA === undefined || keyB === undefined) return
    this.#items[a] = itemB
    this.#items[b] = itemA
    this.#keys[a] = keyB
    this.#keys[b] = keyA
  }
}
