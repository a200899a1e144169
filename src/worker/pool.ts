import { Worker } from 'node:worker_threads'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { describeError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { backoffMs } from '../base/retry.ts'
import type { ChangefeedMessage, FromWorker, ToWorker, WorkerNotice, WorkerStart } from '../changefeed/messages.ts'
import { openDiskQuota } from '../spill/disk-quota.ts'
import { removeRuns } from '../spill/run-directory.ts'

export interface PoolOptions {
  readonly workers: number
  readonly start: Omit<WorkerStart, 'index'>
  readonly log: Log
  readonly clock: Clock
}

type Listener = (worker: number, message: ChangefeedMessage) => void

/** The capture's data workers. One that dies is replaced; the changefeeds in it are told of both. */
export interface WorkerPool extends AsyncDisposable {
  readonly size: number
  /** False while a thread has ended and the next one is not there: what is posted is lost. */
  alive(worker: number): boolean
  post(worker: number, message: ToWorker): void
  /** Ends a worker's thread, whatever it is doing; the next one comes as after any loss. */
  replace(worker: number): void
  /** Messages of one epoch, in order per worker, until disposed. */
  listen(epoch: bigint, receive: Listener): Disposable
  /** prom-client's JSON form of every worker's registry; a worker that does not answer within a second is left out. */
  metrics(): Promise<unknown[]>
}

const METRICS_TIMEOUT_MS = 1000
/**
 * Of a thread's heap, MiB. Rows are no objects, so the default of 96 would fill slowly, and received frames would wait in it for the
 * collector: 100 MiB of resident memory (docs/decisions/016).
 */
const YOUNG_MB = 24
/** A thread that ends sooner than this after its start was not there for long: its successor waits. */
const SHORT_LIFE_MS = 30_000
const PAUSE_BASE_MS = 250
const PAUSE_CAP_MS = 30_000

/** Resolves when every worker is connected to PD. */
export async function openWorkerPool(options: PoolOptions, signal: AbortSignal): Promise<WorkerPool> {
  const pool = new Pool(options)
  try {
    await pool.start()
    signal.throwIfAborted()
  } catch (error) {
    await pool[Symbol.asyncDispose]()
    throw error
  }
  return pool
}

class Pool implements WorkerPool {
  readonly #options: PoolOptions
  readonly #listeners = new Map<bigint, Listener>()
  readonly #questions = new Map<number, (metrics: unknown) => void>()
  /** undefined = its thread has ended, and it takes no messages. */
  readonly #threads: (Worker | undefined)[]
  readonly #life = new AbortController()
  readonly #keeping: Promise<void>[] = []
  #nextQuestion = 0

  constructor(options: PoolOptions) {
    this.#options = options
    this.#threads = Array.from({ length: options.workers }, () => undefined)
  }

  get size(): number {
    return this.#threads.length
  }

  /** Resolves when all threads are ready, rejects with what one of them failed of. */
  async start(): Promise<void> {
    const first = [...this.#threads.keys()].map((index) => {
      const ready = Promise.withResolvers<void>()
      this.#keeping.push(this.#keep(index, ready))
      return ready.promise
    })
    await Promise.all(first)
  }

  alive(worker: number): boolean {
    return this.#threads[worker] !== undefined
  }

  post(worker: number, message: ToWorker): void {
    this.#threads[worker]?.postMessage(message)
  }

  replace(worker: number): void {
    // Its end is dealt with like any other.
    void this.#threads[worker]?.terminate()
  }

  listen(epoch: bigint, receive: Listener): Disposable {
    this.#listeners.set(epoch, receive)
    return { [Symbol.dispose]: () => void this.#listeners.delete(epoch) }
  }

  metrics(): Promise<unknown[]> {
    return Promise.all(this.#threads.keys().map((index) => this.#ask(index)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort()
    await Promise.all(this.#threads.filter((thread) => thread !== undefined).map((thread) => thread.terminate()))
    await Promise.all(this.#keeping)
  }

  /** One thread after the other in the same place, until the pool is closed. */
  async #keep(index: number, ready: PromiseWithResolvers<void>): Promise<void> {
    const { log, clock } = this.#options
    const { signal } = this.#life
    let shortLives = 0
    for (let first = true; !signal.aborted; first = false) {
      const began = clock.monotonic()
      const ended = this.#run(index, ready.resolve)
      if (!first) this.#tell(index, { type: 'worker-started' })
      const message = await ended
      this.#threads[index] = undefined
      this.#removeRuns(index)
      ready.reject(new Error(message))
      if (signal.aborted) return
      log.error('a data worker ended, it is replaced', { worker: index, message })
      this.#tell(index, { type: 'worker-lost', message })
      shortLives = clock.monotonic() - began < SHORT_LIFE_MS ? shortLives + 1 : 0
      if (shortLives <= 1) continue
      await clock.sleep(backoffMs(shortLives - 1, PAUSE_BASE_MS, PAUSE_CAP_MS), signal).catch(() => {})
    }
  }

  /** What the thread had on disk; what cannot be removed goes with the process. */
  #removeRuns(index: number): void {
    const { log, start } = this.#options
    const { directory, disk } = start.runFiles
    try {
      removeRuns(join(directory, String(index)), openDiskQuota(disk))
    } catch (error) {
      log.warn('run files of an ended data worker could not be removed', { worker: index, error })
    }
  }

  /** Resolves when a thread has ended, with how. */
  #run(index: number, ready: () => void): Promise<string> {
    // In the published package the sources have lost their types and end in .js.
    const entry = new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './main.js', import.meta.url)
    const workerData: WorkerStart = { ...this.#options.start, index }
    const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MB }
    const thread = new Worker(entry, { workerData, name: `data-${index}`, resourceLimits })
    this.#threads[index] = thread
    const { promise, resolve } = Promise.withResolvers<string>()
    let cause: unknown
    thread.on('message', (message: FromWorker) => {
      if (message.type === 'ready') ready()
      else if (this.#threads[index] === thread) this.#receive(index, message)
    })
    thread.on('error', (error) => {
      cause = error
    })
    thread.on('exit', (code) => {
      resolve(`data worker ${index} ended with code ${code}${cause === undefined ? '' : `: ${describeError(cause)}`}`)
    })
    return promise
  }

  #receive(index: number, message: Exclude<FromWorker, { type: 'ready' }>): void {
    if (message.type === 'log') this.#options.log[message.level](message.message, { worker: index, ...message.fields })
    else if (message.type === 'metrics-answer') this.#questions.get(message.id)?.(message.metrics)
    else this.#listeners.get(message.epoch)?.(index, message)
  }

  #tell(index: number, notice: WorkerNotice): void {
    for (const listener of [...this.#listeners.values()]) listener(index, notice)
  }

  #ask(index: number): Promise<unknown> {
    return new Promise((resolve) => {
      const id = this.#nextQuestion++
      const answer = (metrics: unknown): void => {
        clearTimeout(timer)
        this.#questions.delete(id)
        resolve(metrics)
      }
      const timer = setTimeout(answer, METRICS_TIMEOUT_MS, [])
      this.#questions.set(id, answer)
      this.post(index, { type: 'metrics-request', id })
    })
  }
}
