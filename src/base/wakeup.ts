/** A condition that may have changed: `wait` resolves at the next `notify`, or at once when one came since the last wait. */
export class Wakeup {
  #pending = false
  #waiter: PromiseWithResolvers<void> | undefined

  notify(): void {
    this.#pending = true
    this.#waiter?.resolve()
  }

  /** One waiter at a time. Rejects with the signal's reason when it is aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (!this.#pending) {
      const waiter = Promise.withResolvers<void>()
      const abort = (): void => waiter.reject(signal.reason)
      signal.addEventListener('abort', abort, { once: true })
      this.#waiter = waiter
      try {
        await waiter.promise
      } finally {
        this.#waiter = undefined
        signal.removeEventListener('abort', abort)
      }
    }
    this.#pending = false
  }
}
