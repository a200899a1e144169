import { Worker } from 'node:worker_threads'
import { describeError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { Addressed, FromWorker, ToWorker, WorkerStart } from '../changefeed/messages.ts'

export interface PoolOptions {
  readonly workers: number
  readonly start: WorkerStart
  readonly log: Log
}

type ChangefeedMessage = Extract<FromWorker, Addressed>

/** The capture's data workers. One that dies is replaced; the changefeeds in it are told, and start again. */
export interface WorkerPool extends AsyncDisposable {
  readonly size: number
  post(worker: number, message: ToWorker): void
  /** Messages of one epoch, in order per worker, until disposed. */
  listen(epoch: bigint, receive: (worker: number, message: ChangefeedMessage) => void): Disposable
  /** prom-client's JSON form of every worker's registry; a worker that does not answer within a second is left out. */
  metrics(): Promise<unknown[]>
}

const METRICS_TIMEOUT_MS = 1000

/** Resolves when every worker is connected to PD. */
export async function openWorkerPool(options: PoolOptions, signal: AbortSignal): Promise<WorkerPool> {
  const { log } = options
  const listeners = new Map<bigint, (worker: number, message: ChangefeedMessage) => void>()
  const questions = new Map<number, (metrics: unknown) => void>()
  const threads: Worker[] = []
  let nextQuestion = 0
  let closing = false

  const receive = (index: number, message: FromWorker): void => {
    if (message.type === 'log') log[message.level](message.message, { worker: index, ...message.fields })
    else if (message.type === 'metrics-answer') questions.get(message.id)?.(message.metrics)
    else if (message.type !== 'ready') listeners.get(message.epoch)?.(index, message)
  }

  const spawn = async (index: number): Promise<void> => {
    // In the published package the sources have lost their types and end in .js.
    const entry = new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './main.js', import.meta.url)
    const thread = new Worker(entry, { workerData: options.start, name: `data-${index}` })
    threads[index] = thread
    const ready = Promise.withResolvers<void>()
    thread.on('message', (message: FromWorker) => {
      if (message.type === 'ready') ready.resolve()
      receive(index, message)
    })
    let cause: unknown
    thread.on('error', (error) => {
      cause = error
      log.error('a data worker failed', { worker: index, error })
    })
    thread.on('exit', (code) => {
      const message = `data worker ${index} ended with code ${code}${cause === undefined ? '' : `: ${describeError(cause)}`}`
      ready.reject(new Error(message, { cause }))
      if (closing) return
      const lost = [...listeners]
      for (const [epoch, listener] of lost) {
        listener(index, { type: 'trouble', epoch, level: 'error', code: '', message, retryable: true })
      }
      spawn(index).catch((error: unknown) => log.error('a data worker could not be replaced', { worker: index, error }))
    })
    await ready.promise
  }

  const dispose = async (): Promise<void> => {
    closing = true
    await Promise.all(threads.map((thread) => thread.terminate()))
  }

  try {
    await Promise.all(Array.from({ length: options.workers }, (_, index) => spawn(index)))
    signal.throwIfAborted()
  } catch (error) {
    await dispose()
    throw error
  }

  const ask = (index: number): Promise<unknown> =>
    new Promise((resolve) => {
      const id = nextQuestion++
      const answer = (metrics: unknown): void => {
        clearTimeout(timer)
        questions.delete(id)
        resolve(metrics)
      }
      const timer = setTimeout(answer, METRICS_TIMEOUT_MS, [])
      questions.set(id, answer)
      threads[index]?.postMessage({ type: 'metrics-request', id } satisfies ToWorker)
    })

  return {
    size: options.workers,
    post: (worker, message) => threads[worker]?.postMessage(message),
    listen(epoch, listener) {
      listeners.set(epoch, listener)
      return { [Symbol.dispose]: () => void listeners.delete(epoch) }
    },
    metrics: () => Promise.all(threads.map((_, index) => ask(index))),
    [Symbol.asyncDispose]: dispose,
  }
}
