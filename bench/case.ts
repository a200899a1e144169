import type { KafkaBroker } from '../test/support/kafka.ts'
import type { FeedServer } from './feed.ts'

export type Unit = 'rows/s' | 'us' | 'ns' | 'ms' | 's' | 'MiB' | 'MiB/s' | 'MB/s' | 'bytes' | '%' | 'messages/s' | 'x'

/** What a case is given. */
export interface Bench {
  /** A tenth of the rows: whether a case works, not how fast it is. */
  readonly quick: boolean
  /** Directory of the checkout. */
  readonly root: string
  /** A figure of this run; names are unique over all cases. */
  report(name: string, value: number, unit: Unit): void
  /** The simulated cluster, started on first use and kept for later cases. */
  feed(): Promise<FeedServer>
  /** A broker of its own, started on first use. Rejects where Kafka is not installed. */
  kafka(): Promise<KafkaBroker>
  /** Under `--profile`: where profiles go. */
  readonly profiles: string[] | undefined
}

/** Something that is measured. */
export interface BenchCase {
  /** `--only` takes the beginning of it. */
  readonly name: string
  readonly about: string
  readonly needs?: 'kafka'
  /** Runs are many only where one says little; the others are measured once. */
  readonly repeated: boolean
  run(bench: Bench): Promise<void>
}
