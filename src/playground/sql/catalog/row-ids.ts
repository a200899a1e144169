import { numberOf } from '../../../tidb/json-big.ts'
import { autoRandomKey, rowIdCounterKey } from '../../../tidb/meta-key.ts'
import { primaryOffset } from '../../../tidb/table-codec.ts'
import { FieldFlag } from '../../../tidb/table-info.ts'
import type { Table } from './schema.ts'

export const isAutoRandom = ({ stored }: Pick<Table, 'stored'>): boolean => numberOf(stored['auto_random_bits']) > 0

/** The counter that ids of a table come from. */
export const counterKeyOf = (table: Table): Uint8Array =>
  (isAutoRandom(table) ? autoRandomKey : rowIdCounterKey)(table.database.id, table.info.id)

/** Where AUTO_RANDOM and SHARD_ROW_ID_BITS put the shard: above the bits that count. `shardBits` 0 = nowhere. */
interface ShardLayout {
  readonly shardBits: bigint
  readonly countBits: bigint
}

function shardLayout({ info, stored }: Table): ShardLayout {
  if (!isAutoRandom({ stored })) {
    const shardBits = info.pkIsHandle || info.isCommonHandle ? 0n : BigInt(numberOf(stored['ShardRowIDBits']))
    return { shardBits, countBits: 63n - shardBits }
  }
  const shardBits = BigInt(numberOf(stored['auto_random_bits']))
  const rangeBits = BigInt(numberOf(stored['auto_random_range_bits']) || 64)
  const isUnsigned = ((info.columns[primaryOffset(info)]?.type.flag ?? 0) & FieldFlag.Unsigned) !== 0
  return { shardBits, countBits: rangeBits - shardBits - (isUnsigned ? 0n : 1n) }
}

/** A counted id with the shard of its transaction; -1 where it has too many bits. Source: TiDB's ShardIDFormat. */
export function shardedId(table: Table, id: bigint, startTs: bigint): bigint {
  const { shardBits, countBits } = shardLayout(table)
  if (shardBits === 0n) return id
  if (id >= 1n << countBits) return -1n
  return ((shardOf(startTs) & ((1n << shardBits) - 1n)) << countBits) | id
}

/** Spread over all values, the same for one transaction. */
const shardOf = (startTs: bigint): bigint => BigInt.asUintN(64, startTs * 0x9e3779b97f4a7c15n) >> 32n
