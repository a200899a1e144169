/** The simulated cluster of feed-server.ts, as cases use it. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import type { FrameMode } from './frames.ts'

export type TableSet =
  | { readonly kind: 'four' }
  | { readonly kind: 'many'; readonly count: number }
  | { readonly kind: 'wide'; readonly columns: number; readonly textBytes: number }

export interface FeedPlan {
  /** Where its tables are; plans with the same tables share it. */
  readonly database: string
  readonly tables: TableSet
  /** 1: all tables in one. Otherwise as many for each table. */
  readonly regions: number
  readonly mode: FrameMode
  /** Of a scan: all rows, which are sent at once. */
  readonly rows: number
}

export interface Prepared {
  readonly pd: string
  readonly tables: readonly string[]
  /** Rows have commit timestamps above it. */
  readonly afterTs: string
  /** What TiKV stores for a row. */
  readonly bytesPerRow: number
}

export interface SendOptions {
  readonly rows: number
  /** False: rows alone, which stay in the sorter until a later `send` resolves them. */
  readonly resolve: boolean
}

export interface TrickleOptions {
  /** Between two resolved timestamps of each region; TiKV's own default is a second. */
  readonly resolvedTsMs: number
  readonly rowsPerSecond: number
  readonly seconds: number
}

export interface Sent {
  /** As many as asked for, rounded up to the same number for each region. */
  readonly rows: number
  readonly bytes: number
  readonly lastTs: string
  /** What they cost the process that made and sent them. */
  readonly cpuMs: number
}

export interface FeedServer extends AsyncDisposable {
  readonly alive: boolean
  prepare(plan: FeedPlan): Promise<Prepared>
  /** Resolves to the number of regions when all of the plan are asked for. */
  registered(): Promise<number>
  /** Resolves when everything is written to the streams. */
  send(options: SendOptions): Promise<Sent>
  /** Rows as they happen: commit timestamps are the time of sending, resolved timestamps follow. */
  trickle(options: TrickleOptions): Promise<Sent>
}

/** Requests and answers are lines of JSON: `{"prepare": plan}` → `{"prepared": …}` and so on. */
export async function startFeedServer(): Promise<FeedServer> {
  const script = join(import.meta.dirname, 'feed-server.ts')
  const child = spawn(process.execPath, ['--max-old-space-size=8192', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ask = async <T>(question: Record<string, unknown>, key: string): Promise<T> => {
    child.stdin.write(`${JSON.stringify(question)}\n`)
    const { value, done } = await lines.next()
    if (done === true) throw new Error('the feed server ended')
    const answer: Record<string, T> = JSON.parse(value)
    const found = answer[key]
    if (found === undefined) throw new Error(`the feed server answered ${value}`)
    return found
  }
  return {
    get alive() {
      return child.exitCode === null && child.signalCode === null
    },
    prepare: (plan) => ask({ prepare: plan }, 'prepared'),
    registered: () => ask({ register: true }, 'registered'),
    trickle: (options) => ask({ trickle: options }, 'sent'),
    send: (options) => ask({ send: options }, 'sent'),
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => child.once('close', resolve))
      child.kill('SIGKILL')
      await closed
    },
  }
}
