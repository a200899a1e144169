import type { Registry } from 'prom-client'
import type { Clock } from '../base/clock.ts'
import type { FailPoints } from '../base/fail-point.ts'
import type { Fence } from '../base/fence.ts'
import type { Log } from '../base/log.ts'
import type { Protocol } from '../codec/protocol.ts'
import type { Dispatcher } from '../dispatcher/dispatcher.ts'
import type { ChangefeedId } from '../event/changefeed.ts'
import type { ProducerMemory } from './kafka/identity.ts'

/** What a sink needs beside its settings. */
export interface SinkContext {
  readonly changefeed: ChangefeedId
  /** Advertised address of this capture; part of the default client id. */
  readonly captureAddress: string
  /** `cluster-id` of the server. */
  readonly clusterId: string
  readonly fence: Fence
  readonly log: Log
  readonly metrics: Registry
  readonly failPoints: FailPoints
  readonly clock: Clock
  /** IANA name or offset; dates in file names are in it. */
  readonly timeZone: string
  readonly dispatcher: Dispatcher
  /** undefined where the sink encodes nothing. */
  readonly protocol: Protocol | undefined
  /**
   * Where a sink keeps what the one built after it must know (Kafka: its producer id). Give the same object to every sink
   * of a changefeed in this thread; without it a rebuilt sink starts as a stranger.
   */
  readonly memory?: SinkMemory
  /** The downstream takes nothing for a while; the sink goes on trying by itself. */
  readonly onTrouble?: (error: Error) => void
  /** Told of the time that the sink was at work outside of its calls: checksums, compression, writing to sockets. */
  readonly onWork?: (ms: number) => void
}

export interface SinkMemory {
  rows?: ProducerMemory
  control?: ProducerMemory
}
