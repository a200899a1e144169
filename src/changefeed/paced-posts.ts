import type { ToWorker } from './messages.ts'

/** One costs some ten µs. */
const POSTS_PER_TURN = 64

interface Post {
  readonly worker: number
  readonly make: () => readonly ToWorker[]
}

/**
 * Posts to the workers in the order of the calls, and so many in a turn of the event loop that ten thousand spans hold up
 * nothing else. Messages are made when they leave. When the signal is aborted nothing leaves any more.
 */
export class PacedPosts {
  readonly #post: (worker: number, message: ToWorker) => void
  readonly #guard: (work: () => void) => void
  readonly #signal: AbortSignal
  #waiting: Post[] = []
  /** Posts that may leave in this turn; the next one is on its way where it is not whole. */
  #room = POSTS_PER_TURN

  /** @param guard does what a later turn has to do, and hears its error */
  constructor(
    post: (worker: number, message: ToWorker) => void,
    guard: (work: () => void) => void,
    signal: AbortSignal,
  ) {
    this.#post = post
    this.#guard = guard
    this.#signal = signal
  }

  post(worker: number, make: () => readonly ToWorker[]): void {
    this.#waiting.push({ worker, make })
    this.#send()
  }

  /** Forgets what waits for a worker: its thread has ended. */
  drop(worker: number): void {
    this.#waiting = this.#waiting.filter((post) => post.worker !== worker)
  }

  #send(): void {
    if (this.#signal.aborted) this.#waiting = []
    if (this.#room === 0 || this.#waiting.length === 0) return
    if (this.#room === POSTS_PER_TURN) setImmediate(() => this.#guard(() => this.#nextTurn()))
    const due = this.#waiting.splice(0, this.#room)
    this.#room -= due.length
    for (const { worker, make } of due) for (const message of make()) this.#post(worker, message)
  }

  #nextTurn(): void {
    this.#room = POSTS_PER_TURN
    this.#send()
  }
}
