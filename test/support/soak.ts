// A server under a random workload and random faults for as long as there is time: simulated cluster, etcd, Kafka and server as
// processes of their own. In chapters: each has a database, a topic and a changefeed of its own and is held against the store's
// history at its end. The server's memory is sampled all the time.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { systemClock } from '../../src/base/clock.ts'
import { describeError } from '../../src/base/errors.ts'
import { consumeAll, type ConsumedRecord } from './consumer.ts'
import { type Delivered, readCanalJson, readOpenProtocol } from './delivered.ts'
import { startEtcd } from './etcd.ts'
import { randomFault } from './feed-model.ts'
import { verifyHistory } from './history.ts'
import { type KafkaBroker, startKafka } from './kafka.ts'
import { createRandom, type Random } from './random.ts'
import {
  caughtUp,
  cli,
  clusterTs,
  createChangefeed,
  type PlaygroundProcess,
  type ServerProcess,
  startPlayground,
  startServer,
} from './stack.ts'
import { openWorkload, type Workload } from './workload.ts'

export interface SoakOptions {
  readonly seed: number
  readonly workers: number
  /** `memory-quota` of the changefeeds, bytes. */
  readonly memoryQuota: number
  /** No further chapter begins after that time on `performance.now()`. */
  readonly until: number
  readonly chapterMs: number
  readonly onChapter?: (text: string) => void
}

/** Figures of a soak that went well. */
export interface SoakResult extends Readonly<Record<string, number>> {
  readonly chapters: number
  readonly faults: number
  readonly messages: number
  /** Median resident memory in the first and the last third of the server's life without its start, MiB. */
  readonly rssFirstMib: number
  readonly rssLastMib: number
  readonly rssPeakMib: number
}

const SAMPLE_MS = 500
/** The server may be killed in the first part of the time only: memory is compared over one life. */
const KILLING_SHARE = 0.2
/** Of a life, before its memory counts. */
const WARM_UP_SHARE = 0.2
/** Lives that are shorter say nothing about growth. */
const MIN_SAMPLES = 240
const RSS_GROWTH = 1.1
/** By so much it differs between quiet and busy chapters: each thread has a heap that grows with its work. */
const RSS_SLACK_MIB = 128
const CATCH_UP_MS = 180_000

const PROTOCOLS: readonly { readonly uri: string; readonly read: (all: readonly ConsumedRecord[]) => Delivered[] }[] = [
  { uri: 'protocol=canal-json&enable-tidb-extension=true&partition-num=4', read: readCanalJson },
  { uri: 'protocol=open-protocol&partition-num=4&max-batch-size=8', read: readOpenProtocol },
]

/** Throws what failed, with the seed, the last faults and the last lines of the server's log. */
export async function runSoak(options: SoakOptions, signal: AbortSignal): Promise<SoakResult> {
  await using soak = await Soak.start(options)
  for (;;) {
    await soak.chapter(signal)
    options.onChapter?.(`seed ${options.seed}: ${JSON.stringify(soak.figures())}`)
    if (performance.now() > options.until) break
  }
  return soak.verified()
}

class Soak implements AsyncDisposable {
  readonly #options: SoakOptions
  readonly #random: Random
  readonly #resources: AsyncDisposableStack
  readonly #kafka: KafkaBroker
  readonly #playground: PlaygroundProcess
  readonly #killUntil: number
  readonly #told: string[] = []
  #server: ServerProcess
  /** Of the server's present life. */
  #rssMib: number[] = []
  #chapters = 0
  #faults = 0
  #messages = 0

  static async start(options: SoakOptions): Promise<Soak> {
    await using stack = new AsyncDisposableStack()
    const kafka = stack.use(await startKafka())
    const etcd = stack.use(await startEtcd())
    const playground = stack.use(await startPlayground('--etcd', etcd.url))
    const server = await startSoakServer(options, playground)
    return new Soak(options, kafka, playground, server, stack.move())
  }

  constructor(
    options: SoakOptions,
    kafka: KafkaBroker,
    playground: PlaygroundProcess,
    server: ServerProcess,
    resources: AsyncDisposableStack,
  ) {
    this.#options = options
    this.#kafka = kafka
    this.#playground = playground
    this.#server = server
    this.#resources = resources
    this.#random = createRandom(options.seed)
    this.#killUntil = performance.now() + (options.until - performance.now()) * KILLING_SHARE
    const sampler = setInterval(() => this.#sample(), SAMPLE_MS)
    resources.defer(() => clearInterval(sampler))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]()
    await this.#resources.disposeAsync()
  }

  async chapter(signal: AbortSignal): Promise<void> {
    const id = `soak-${++this.#chapters}`
    try {
      await this.#chapter(id, signal)
    } catch (error) {
      const log = this.#server.process.lines.filter((line) => !line.includes('open api request'))
      const lines = [...this.#told.slice(-20), ...log.slice(-40)]
      throw new Error(`seed ${this.#options.seed}, ${id}; last:\n  ${lines.join('\n  ')}`, { cause: error })
    }
  }

  figures(): SoakResult {
    const counted = this.#rssMib.slice(Math.floor(this.#rssMib.length * WARM_UP_SHARE))
    const third = Math.ceil(counted.length / 3)
    return {
      chapters: this.#chapters,
      faults: this.#faults,
      messages: this.#messages,
      samples: this.#rssMib.length,
      rssFirstMib: median(counted.slice(0, third)),
      rssLastMib: median(counted.slice(-third)),
      rssPeakMib: Math.max(...this.#rssMib),
    }
  }

  /** The figures, where they show no growth. */
  verified(): SoakResult {
    const figures = this.figures()
    const { rssFirstMib, rssLastMib } = figures
    if (this.#rssMib.length >= MIN_SAMPLES && rssLastMib > rssFirstMib * RSS_GROWTH + RSS_SLACK_MIB)
      throw new Error(`seed ${this.#options.seed}: memory grew from ${rssFirstMib} to ${rssLastMib} MiB`)
    return figures
  }

  async #chapter(id: string, signal: AbortSignal): Promise<void> {
    const { memoryQuota, chapterMs } = this.#options
    const database = `soak${this.#chapters}`
    const { sql, pd, admin } = this.#playground
    await using workload = await openWorkload({ sql, database, random: this.#random, ddl: true, writers: 2 })
    const { uri, read } = this.#random.pick(PROTOCOLS)
    const sinkUri = `kafka://${this.#kafka.bootstrap}/${id}?${uri}`
    const startTs = await clusterTs(this.#server, pd)
    const config = [`memory-quota = ${memoryQuota}`, '[filter]', `rules = ["${database}.*"]`]
    await createChangefeed(this.#server, { id, sinkUri, startTs, config })
    const end = performance.now() + chapterMs
    while (performance.now() < end) {
      signal.throwIfAborted()
      const happen = this.#drawFault(id, database, workload, signal)
      await Promise.all([happen(), workload.run(32)])
      if (this.#random.chance(0.3)) await workload.runLarge(500 + this.#random.below(3000))
    }
    await this.#inject('clear', {})
    await caughtUp(this.#server, id, await clusterTs(this.#server, pd), CATCH_UP_MS)
    const records = await consumeAll(this.#kafka.bootstrap, [id])
    this.#messages += records.length
    await verifyHistory(read(records), workload, admin, startTs)
    await cli(this.#server, 'changefeed', 'remove', '--changefeed-id', id)
    await workload.query(`DROP DATABASE ${database}`)
    const safePoint = await clusterTs(this.#server, pd)
    await this.#inject('advance-gc', { safePoint: String(safePoint) })
  }

  /** What happens in one round; it is drawn before anything runs. */
  #drawFault(id: string, database: string, workload: Workload, signal: AbortSignal): () => Promise<void> {
    const random = this.#random
    const ms = 200 + random.below(3000)
    const pause = (): Promise<void> => systemClock.sleep(ms, signal)
    const [name, body] = randomFault(random)
    const table = `${database}.${random.pick(workload.tables())}`
    const faults: readonly (readonly [weight: number, name: string, happen: () => Promise<void>])[] = [
      [10, `${name} ${JSON.stringify(body)}`, () => this.#inject(name, { table, ...body })],
      [6, 'nothing', async () => {}],
      [
        2,
        `broker stopped for ${ms} ms`,
        async () => {
          this.#kafka.pause()
          await pause().finally(() => this.#kafka.resume())
        },
      ],
      [
        1,
        'broker killed',
        async () => {
          await this.#kafka.kill()
          await pause()
          await this.#kafka.restart()
        },
      ],
      [2, 'worker killed', async () => this.#server.process.kill('SIGUSR2')],
      [
        2,
        `paused for ${ms} ms`,
        async () => {
          await this.#post(id, 'pause')
          await pause()
          await this.#post(id, 'resume')
        },
      ],
      [performance.now() < this.#killUntil ? 2 : 0, 'server killed', () => this.#killServer()],
    ]
    let at = random.below(faults.reduce((sum, [weight]) => sum + weight, 0))
    const fault = faults.find(([weight]) => (at -= weight) < 0)
    if (fault === undefined) throw new RangeError('no fault was picked')
    return async () => {
      this.#faults++
      this.#told.push(`${new Date().toISOString()} ${fault[1]}`)
      await fault[2]()
    }
  }

  async #inject(name: string, body: object): Promise<void> {
    const url = `${this.#playground.admin}/faults/${name}`
    const answer = await fetch(url, { method: 'POST', body: JSON.stringify(body) })
    // A table may have been renamed meanwhile.
    if (!answer.ok) this.#told.push(`${name} was refused: ${await answer.text()}`)
  }

  async #post(id: string, what: 'pause' | 'resume'): Promise<void> {
    const url = `${this.#server.url}/api/v2/changefeeds/${id}/${what}`
    const answer = await fetch(url, { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } })
    if (!answer.ok) throw new Error(`${what}: ${await answer.text()}`)
  }

  async #killServer(): Promise<void> {
    await this.#server[Symbol.asyncDispose]()
    this.#rssMib = []
    this.#server = await startSoakServer(this.#options, this.#playground)
  }

  #sample(): void {
    const { process } = this.#server
    if (!process.alive) return
    try {
      const status = readFileSync(`/proc/${process.pid}/status`, 'utf8')
      this.#rssMib.push(Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024))
    } catch (error) {
      this.#told.push(`no sample of the memory: ${describeError(error)}`)
    }
  }
}

/** Its data workers can be killed one by one with SIGUSR2. */
function startSoakServer({ workers }: SoakOptions, { pd }: PlaygroundProcess): Promise<ServerProcess> {
  const env = { NODE_OPTIONS: `--import=${join(import.meta.dirname, 'kill-worker.ts')}` }
  return startServer({ pd, args: ['--data-workers', String(workers)], env })
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
