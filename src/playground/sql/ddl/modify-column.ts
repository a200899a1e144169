import { FieldFlag, MysqlType } from '../../../tidb/table-info.ts'
import type { FieldType } from '../../../tidb/table-info.ts'

const INTEGER_ORDER: readonly MysqlType[] = [
  MysqlType.Tiny,
  MysqlType.Short,
  MysqlType.Int24,
  MysqlType.Long,
  MysqlType.Longlong,
]
const BLOB_ORDER: readonly MysqlType[] = [MysqlType.TinyBlob, MysqlType.Blob, MysqlType.MediumBlob, MysqlType.LongBlob]
const UTF8_SUPERSETS: Readonly<Record<string, readonly string[]>> = {
  utf8: ['utf8mb4'],
  ascii: ['utf8', 'utf8mb4', 'latin1'],
}

/** True where text of one charset is text of the other, as TiDB stores both. */
export const isCharsetWidened = (before: string, after: string): boolean =>
  UTF8_SUPERSETS[before]?.includes(after) === true

/** Why rows would have to be rewritten, undefined where not. */
export function needsReorganization(before: FieldType, after: FieldType): string | undefined {
  if (((before.flag ^ after.flag) & FieldFlag.Unsigned) !== 0) return 'the sign changes'
  if (before.charset !== after.charset && !isCharsetWidened(before.charset, after.charset)) return 'the charset changes'
  if (
    before.charset === after.charset &&
    before.collate !== after.collate &&
    (before.flag & (FieldFlag.PriKey | FieldFlag.UniqueKey | FieldFlag.MultipleKey)) !== 0
  )
    return 'the collation of an indexed column changes'
  if (INTEGER_ORDER.includes(before.tp))
    return INTEGER_ORDER.indexOf(after.tp) >= INTEGER_ORDER.indexOf(before.tp) ? undefined : 'the type changes'
  if (isText(before) && isText(after)) return textChange(before, after)
  if (before.tp !== after.tp) return 'the type changes'
  switch (before.tp) {
    case MysqlType.NewDecimal:
      return after.decimal === before.decimal && after.flen >= before.flen ? undefined : 'the precision changes'
    case MysqlType.Enum:
    case MysqlType.Set:
      return before.elems.every((element, i) => after.elems[i] === element) ? undefined : 'elements change'
    case MysqlType.Bit:
      return after.flen >= before.flen ? undefined : 'the length shrinks'
    case MysqlType.Datetime:
    case MysqlType.Timestamp:
    case MysqlType.Duration:
      return after.decimal === before.decimal ? undefined : 'the precision changes'
    default:
      return after.decimal === before.decimal ? undefined : 'the precision changes'
  }
}

const isText = ({ tp }: FieldType): boolean =>
  tp === MysqlType.Varchar || tp === MysqlType.VarString || tp === MysqlType.String || BLOB_ORDER.includes(tp)

function textChange(before: FieldType, after: FieldType): string | undefined {
  const isFixedBinary = (type: FieldType): boolean => type.tp === MysqlType.String && type.charset === 'binary'
  if (isFixedBinary(before) || isFixedBinary(after))
    return before.tp === after.tp && before.flen === after.flen ? undefined : 'padding changes'
  if (after.tp === MysqlType.String && before.tp !== MysqlType.String) return 'the type changes'
  return after.flen >= before.flen ? undefined : 'the length shrinks'
}
