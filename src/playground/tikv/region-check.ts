import type { Error as RegionError } from '../../proto/errorpb.ts'
import { Error as RegionErrors } from '../../proto/errorpb.ts'
import type { Region as RegionMeta } from '../../proto/metapb.ts'
import type { Context } from '../../proto/kvrpcpb.ts'
import type { RegionFault } from '../faults.ts'
import { inRange } from './bytes.ts'
import type { Cluster } from './cluster.ts'
import type { Region } from './regions.ts'

const FITS_KV = (kind: RegionFault): boolean => kind !== 'congested'

/** The region that a request means, or the error that TiKV answers it with; checked in TiKV's order. */
export function checkRegion(
  cluster: Cluster,
  storeId: bigint,
  context: Context | undefined,
  keys: readonly Buffer[],
): Region | RegionError {
  const regionId = context?.regionId ?? 0n
  const asked = context?.peer?.storeId ?? 0n
  if (asked !== storeId)
    return RegionErrors.create({
      message: `store not match: request store id ${asked}, actual ${storeId}`,
      storeNotMatch: { requestStoreId: asked, actualStoreId: storeId },
    })
  const region = cluster.regions.byId(regionId)
  const peer = region?.peers.find((one) => one.storeId === storeId)
  if (region === undefined || peer === undefined)
    return RegionErrors.create({ message: `region ${regionId} is missing`, regionNotFound: { regionId } })
  if (context?.peer?.id !== peer.id)
    return RegionErrors.create({
      message: `mismatch peer id ${context?.peer?.id} != ${peer.id}`,
      mismatchPeerId: { requestPeerId: context?.peer?.id ?? 0n, storePeerId: peer.id },
    })
  if (region.leader?.id !== peer.id && !(context?.replicaRead || context?.staleRead)) return notLeader(region)
  const version = context?.regionEpoch?.version ?? 0n
  if (version !== region.version) return epochNotMatch(cluster.regions.current(region, version))
  const outside = keys.find((key) => !inRange(key, region.rawStart, region.rawEnd))
  if (outside !== undefined)
    return RegionErrors.create({
      message: `key ${outside.toString('hex')} is not in region ${regionId}`,
      keyNotInRegion: { key: outside, regionId, startKey: region.startKey, endKey: region.endKey },
    })
  const fault = cluster.faults.take(FITS_KV)
  return fault === undefined ? region : injected(fault, region)
}

export const isRegion = (checked: Region | RegionError): checked is Region => 'rawStart' in checked

const notLeader = (region: Region): RegionError =>
  RegionErrors.create({
    message: `peer is not leader for region ${region.id}`,
    notLeader: { regionId: region.id, leader: region.leader },
  })

const epochNotMatch = (currentRegions: RegionMeta[]): RegionError =>
  RegionErrors.create({ message: 'epoch not match', epochNotMatch: { currentRegions } })

function injected(fault: RegionFault, region: Region): RegionError {
  switch (fault) {
    case 'not_leader':
      return notLeader(region)
    case 'epoch_not_match':
      return epochNotMatch([])
    case 'region_not_found':
      return RegionErrors.create({ message: `region ${region.id} not found`, regionNotFound: { regionId: region.id } })
    case 'server_is_busy':
    case 'congested':
      return RegionErrors.create({ message: 'server is busy', serverIsBusy: { reason: 'injected', backoffMs: 100n } })
  }
}
