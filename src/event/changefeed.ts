/** Which changefeed: its namespace and id, both of `[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*`. */
export interface ChangefeedId {
  readonly namespace: string
  readonly id: string
}

/** `namespace/id`; for logs, metrics' keys and maps. */
export const changefeedKey = (changefeed: ChangefeedId): string => `${changefeed.namespace}/${changefeed.id}`

export const CHANGEFEED_STATES = ['normal', 'pending', 'failed', 'stopped', 'removed', 'finished', 'warning'] as const
export type ChangefeedState = (typeof CHANGEFEED_STATES)[number]
