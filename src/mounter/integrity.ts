import { CdcError } from '../base/errors.ts'
import type { RawKv } from '../event/raw-kv.ts'
import type { RowChecksums, Values } from '../event/row-change.ts'
import type { TableVersion } from '../event/table-version.ts'
import { hexOf } from '../tidb/key.ts'
import { columnChecksum, rawRowChecksum, readRowChecksum } from '../tidb/row-checksum.ts'
import { compileRowDecoder } from '../tidb/row-decoder.ts'
import { MysqlType } from '../tidb/table-info.ts'
import { utcZone } from '../tidb/time-zone.ts'

export interface IntegrityOptions {
  /** `error`: a row that does not fit its checksum stops the changefeed; `warn`: it is sent, marked as corrupted. */
  readonly onCorruption: 'warn' | 'error'
  readonly report: (problem: string) => void
}

/** Checksums of a row, undefined where TiDB wrote none. Error: `CDC:ErrCorruptedDataMutation`. */
export type CheckRow = (raw: RawKv, before: Values | undefined, after: Values | undefined) => RowChecksums | undefined

/**
 * Compiles the check of a table's rows against the checksums that TiDB stored with them (reference:
 * protocols-avro-simple-debezium, A.6). An old value may have been written under an earlier schema, so it proves nothing
 * when it does not fit.
 */
export function compileIntegrity(table: TableVersion, { onCorruption, report }: IntegrityOptions): CheckRow {
  const columns = table.columns.map((column) => column.info)
  // Checksums are taken of times in UTC.
  const zoned = columns.some(({ type }) => type.tp === MysqlType.Timestamp)
  const decodeUtc = zoned ? compileRowDecoder(table.info, columns, utcZone) : undefined
  const checksumOf = (raw: RawKv, value: Uint8Array, values: Values): number =>
    columnChecksum(columns, decodeUtc === undefined ? values : decodeUtc(raw.key, value))

  /** undefined where the side has no checksum. */
  const check = (raw: RawKv, value: Uint8Array | undefined, values: Values | undefined) => {
    const stored = value === undefined || values === undefined ? undefined : readRowChecksum(value)
    if (value === undefined || values === undefined || stored === undefined) return undefined
    const sum = checksumOf(raw, value, values)
    const fits =
      stored.version === 0
        ? sum === stored.checksum || sum === stored.extra
        : rawRowChecksum(value, raw.key, stored) === stored.checksum
    return { sum, fits, version: stored.version }
  }

  return (raw, before, after) => {
    const current = check(raw, raw.value, after)
    const previous = check(raw, raw.oldValue, before)
    if (current === undefined && previous === undefined) return undefined
    const corrupted = current?.fits === false
    if (corrupted) {
      const name = `\`${table.schema}\`.\`${table.table}\``
      const problem = `a row of ${name} does not fit its checksum (key ${hexOf(raw.key)}, commitTs ${raw.commitTs})`
      if (onCorruption === 'error') throw new CdcError('CDC:ErrCorruptedDataMutation', problem)
      report(problem)
    }
    return {
      version: current?.version ?? previous?.version ?? 0,
      corrupted,
      current: current?.sum ?? 0,
      previous: previous?.sum ?? 0,
    }
  }
}
