import { CdcError, describeError } from '../base/errors.ts'
import type { RawKv } from '../event/raw-kv.ts'
import type { RowChange, Values } from '../event/row-change.ts'
import type { TableVersion } from '../event/table-version.ts'
import { hexOf } from '../tidb/key.ts'
import { compileRowDecoder } from '../tidb/row-decoder.ts'
import { openTimeZone } from '../tidb/time-zone.ts'
import { compileIntegrity, type IntegrityOptions } from './integrity.ts'

export interface MounterOptions {
  /** Of TIMESTAMP text: an IANA name, an offset such as `+08:00`, or empty for the machine's. */
  readonly timeZone: string
  /** undefined = checksums of rows are not looked at. */
  readonly integrity?: IntegrityOptions | undefined
}

/** Byte strings of the row are views into the raw pair. Errors: `CDC:ErrDecodeRowToDatum`, `CDC:ErrCorruptedDataMutation`. */
export type Mounter = (raw: RawKv) => RowChange

/**
 * Compiles the decoder of one table version. Value and old value are read with the same schema, even where the old one
 * was written under an earlier schema. A delete without old value has neither side.
 */
export function compileMounter(table: TableVersion, options: MounterOptions): Mounter {
  const zone = openTimeZone(options.timeZone)
  const decode = compileRowDecoder(
    table.info,
    table.columns.map((column) => column.info),
    zone,
  )
  const mountSide = (raw: RawKv, value: Uint8Array | undefined, side: string): Values | undefined => {
    if (value === undefined || value.length === 0) return undefined
    try {
      return decode(raw.key, value)
    } catch (cause) {
      throw new CdcError('CDC:ErrDecodeRowToDatum', describeFault(table, raw, side, cause), { cause })
    }
  }
  const mount: Mounter = (raw) => ({
    startTs: raw.startTs,
    commitTs: raw.commitTs,
    key: raw.key,
    before: mountSide(raw, raw.oldValue, 'old value'),
    after: mountSide(raw, raw.value, 'value'),
  })
  if (options.integrity === undefined) return mount
  const check = compileIntegrity(table, options.integrity)
  return (raw) => {
    const row = mount(raw)
    const checksum = check(raw, row.before, row.after)
    return checksum === undefined ? row : { ...row, checksum }
  }
}

const describeFault = (table: TableVersion, raw: RawKv, side: string, cause: unknown): string =>
  `cannot decode the ${side} of a row of \`${table.schema}\`.\`${table.table}\` (physical table ${table.physicalId}, ` +
  `key ${hexOf(raw.key)}, commitTs ${raw.commitTs}): ${describeError(cause)}`
