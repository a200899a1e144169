import { CdcError, type ErrorCode } from '../base/errors.ts'

/** Collects every fault of a sink's configuration, so that a user sees them all at once. */
export class SinkFaults {
  readonly #faults: { readonly code: ErrorCode; readonly text: string }[] = []
  readonly warnings: string[] = []

  add(code: ErrorCode, text: string): void {
    this.#faults.push({ code, text })
  }

  /** A setting of TiCDC's that this version does not have yet. */
  unbuilt(code: ErrorCode, setting: string, hint = ''): void {
    this.add(code, `${setting} is not built yet in this version${hint}`)
  }

  warn(text: string): void {
    this.warnings.push(text)
  }

  get empty(): boolean {
    return this.#faults.length === 0
  }

  /** What `work` returns; its coded error becomes a fault. */
  attempt<T>(work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof CdcError)) throw error
      this.add(error.code, error.message.slice(error.code.length + 2))
      return undefined
    }
  }

  /** Throws one error that names all faults; its code is the first one's. */
  throwIfAny(): void {
    const [first, ...others] = this.#faults
    if (first === undefined) return
    throw new CdcError(first.code, [first.text, ...others.map((fault) => `[${fault.code}]${fault.text}`)].join('; '))
  }
}
