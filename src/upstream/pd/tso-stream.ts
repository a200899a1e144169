import { type Client, type ClientDuplexStream, status } from '@grpc/grpc-js'

import { CdcError } from '../../base/errors.ts'
import { PDService, TsoRequest, type TsoResponse } from '../../proto/pdpb.ts'
import { isServiceError } from '../channel.ts'

interface Waiter {
  resolve(ts: bigint): void
  reject(error: unknown): void
}

const MAX_BATCH = 10_000

/**
 * One `PD.Tso` stream. Waiters that arrive while a request is under way share the next one. After an error the stream is
 * `broken`, everything that waits is rejected, and a new stream has to be made.
 */
export class TsoStream implements Disposable {
  #broken = false
  readonly #clusterId: bigint
  readonly #timeoutMs: number
  readonly #call: ClientDuplexStream<TsoRequest, TsoResponse>
  #waiting: Waiter[] = []
  #asked: Waiter[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(client: Client, clusterId: bigint, timeoutMs: number) {
    this.#clusterId = clusterId
    this.#timeoutMs = timeoutMs
    const { path, requestSerialize, responseDeserialize } = PDService.tso
    this.#call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize)
    this.#call.on('data', (answer: TsoResponse) => this.#receive(answer))
    this.#call.on('error', (error: unknown) => this.#fail(wrongCluster(error) ?? error))
    this.#call.on('end', () => this.#fail(new Error('tso stream ended')))
  }

  get broken(): boolean {
    return this.#broken
  }

  next(signal: AbortSignal): Promise<bigint> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      if (this.#broken) throw new Error('tso stream is broken')
      const abort = (): void => reject(signal.reason)
      signal.addEventListener('abort', abort, { once: true })
      const forget = (): void => signal.removeEventListener('abort', abort)
      this.#waiting.push({
        resolve(ts) {
          forget()
          resolve(ts)
        },
        reject(error) {
          forget()
          reject(error)
        },
      })
      this.#ask()
    })
  }

  [Symbol.dispose](): void {
    this.#fail(new Error('tso stream closed'))
  }

  #ask(): void {
    if (this.#asked.length > 0 || this.#waiting.length === 0) return
    this.#asked = this.#waiting.splice(0, MAX_BATCH)
    const header = { clusterId: this.#clusterId }
    this.#call.write(TsoRequest.fromPartial({ header, count: this.#asked.length }))
    this.#timer = setTimeout(() => this.#fail(new Error('tso request timed out')), this.#timeoutMs)
  }

  #receive(answer: TsoResponse): void {
    clearTimeout(this.#timer)
    const { timestamp } = answer
    if (timestamp === undefined || answer.count !== this.#asked.length) {
      this.#fail(new Error(`tso answer for ${answer.count} timestamps instead of ${this.#asked.length}`))
      return
    }
    // The logical part is that of the last timestamp of the batch.
    let ts = (timestamp.physical << 18n) + timestamp.logical - BigInt(this.#asked.length)
    const served = this.#asked
    this.#asked = []
    for (const waiter of served) waiter.resolve(++ts)
    this.#ask()
  }

  #fail(error: unknown): void {
    if (this.#broken) return
    this.#broken = true
    clearTimeout(this.#timer)
    this.#call.cancel()
    for (const waiter of [...this.#asked, ...this.#waiting]) waiter.reject(error)
    this.#asked = []
    this.#waiting = []
  }
}

function wrongCluster(error: unknown): CdcError | undefined {
  if (!isServiceError(error, status.FAILED_PRECONDITION) || !error.details.includes('mismatch cluster id')) {
    return undefined
  }
  return new CdcError('CDC:ErrClusterIDMismatch', `pd: ${error.details}`, { cause: error })
}
