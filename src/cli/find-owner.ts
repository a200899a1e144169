import { systemClock } from '../base/clock.ts'
import { CdcError } from '../base/errors.ts'
import { silentLog } from '../base/log.ts'
import { openEtcd } from '../server/etcd/etcd.ts'
import { parseJson } from '../tidb/json-big.ts'
import type { Credentials } from './credentials.ts'
import { textOf } from './remote.ts'

const ROOT = '/tidb/cdc/'
const DIAL_MS = 4_000

/** `host:port` of the owner, found in the etcd at PD (reference: interface, section 2.1). */
export async function findOwner(pd: string, credentials: Credentials, signal: AbortSignal): Promise<string> {
  const { tls } = credentials
  const security = tls === undefined ? {} : { caPath: tls.ca, certPath: tls.cert, keyPath: tls.key }
  using etcd = openEtcd({ endpoints: pd.split(','), security, log: silentLog, clock: systemClock })
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(DIAL_MS)])
  const { entries } = await etcd.list(ROOT, bounded).catch((cause: unknown) => {
    signal.throwIfAborted()
    throw new CdcError('CDC:ErrPDEtcdAPIError', `etcd api call error: cannot read ${pd}`, { cause })
  })
  const captures = entries.filter((entry) => entry.key.includes('/__cdc_meta__/capture/'))
  const clusters = new Set(captures.map((entry) => entry.key.slice(ROOT.length).split('/')[0]))
  if (clusters.size > 1)
    throw new CdcError('CDC:ErrMultipleCDCClustersExist', 'multiple TiCDC clusters exist while using --pd')
  const owners = entries
    .filter((entry) => entry.key.includes('/__cdc_meta__/owner/'))
    .toSorted((a, b) => (a.createRevision < b.createRevision ? -1 : 1))
  const owner = captures.find((entry) => entry.key.endsWith(`/${owners[0]?.value ?? ''}`)) ?? captures[0]
  if (owner === undefined) throw new Error('no capture is found')
  const info: unknown = parseJson(owner.value)
  return typeof info === 'object' && info !== null && 'address' in info ? textOf(info.address) : ''
}
