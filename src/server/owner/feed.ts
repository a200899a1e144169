import type { ChangefeedCommands, ChangefeedProgress } from '../../changefeed/control.ts'
import type { Filter } from '../../filter/filter.ts'
import type { SinkSettings } from '../../config/sink-settings.ts'
import type { ChangefeedInfo, ChangefeedStatus } from '../store/values.ts'
import type { FeedState } from './feed-state.ts'

/** What a stored configuration means. */
export interface FeedPlan {
  readonly sink: SinkSettings
  readonly filter: Filter
  /** What was accepted although a new changefeed would be refused for it. */
  readonly warnings: readonly string[]
}

/** A changefeed in the owner's memory. */
export interface Feed {
  info: ChangefeedInfo
  /** Where `info` stands in etcd. */
  infoRevision: bigint
  infoCreateRevision: bigint
  status: ChangefeedStatus
  state: FeedState
  /** The error where the stored configuration needs something that is not there: it is neither run nor changed. */
  plan: FeedPlan | Error
  /** Of the run under way. */
  progress: ChangefeedProgress | undefined
  run: FeedRun | undefined
  /** Changes of the stored state wait for one another. */
  queue: Promise<unknown>
  /** A new state is being stored: no run starts or ends for the old one. */
  changing: boolean
  gone: boolean
}

export interface FeedRun {
  readonly epoch: bigint
  readonly abort: AbortController
  readonly done: Promise<void>
  /** undefined until its spans are given to workers. */
  commands: ChangefeedCommands | undefined
}
