import type { ChangefeedId } from '../../event/changefeed.ts'

/** Where a cluster keeps what in etcd; TiCDC's layout (reference: server, section 2). */
export interface ClusterKeys {
  /** Ends with a slash, as all prefixes. */
  readonly all: string
  readonly captures: string
  /** Prefix of the election, without the slash. */
  readonly owner: string
  readonly metaVersion: string
  capture(id: string): string
  info(changefeed: ChangefeedId): string
  status(changefeed: ChangefeedId): string
  position(captureId: string, changefeed: ChangefeedId): string
  /** Every changefeed's position of a capture. */
  positions(captureId: string): string
  upstream(namespace: string, upstreamId: bigint): string
}

export const clusterKeys = (clusterId: string): ClusterKeys => {
  const all = `/tidb/cdc/${clusterId}/`
  const meta = `${all}__cdc_meta__/`
  return {
    all,
    captures: `${meta}capture/`,
    owner: `${meta}owner`,
    metaVersion: `${meta}meta/meta-version`,
    capture: (id) => `${meta}capture/${id}`,
    info: ({ namespace, id }) => `${all}${namespace}/changefeed/info/${id}`,
    status: ({ namespace, id }) => `${all}${namespace}/changefeed/status/${id}`,
    position: (captureId, { namespace, id }) => `${all}${namespace}/task/position/${captureId}/${id}`,
    positions: (captureId) => `${all}default/task/position/${captureId}/`,
    upstream: (namespace, upstreamId) => `${all}${namespace}/upstream/${upstreamId}`,
  }
}

/** What a key of {@link ClusterKeys.all} is, as far as the owner looks at it. */
export type ClusterKey =
  | { readonly kind: 'info' | 'status'; readonly changefeed: ChangefeedId }
  | { readonly kind: 'other' }

export function parseClusterKey(keys: ClusterKeys, key: string): ClusterKey {
  const [namespace = '', changefeed, kind, id = '', ...rest] = key.slice(keys.all.length).split('/')
  const isChangefeed = changefeed === 'changefeed' && namespace !== '__cdc_meta__' && id !== '' && rest.length === 0
  if (!isChangefeed || (kind !== 'info' && kind !== 'status')) return { kind: 'other' }
  return { kind, changefeed: { namespace, id } }
}
