import { FieldFlag, MysqlType } from '../../../tidb/table-info.ts'
import type { ColumnInfo, IndexInfo } from '../../../tidb/table-info.ts'
import { parseDateTimeText } from '../value/time.ts'
import { formatDateTime } from '../value/time.ts'
import { timestampFromUtc } from '../value/time-zone.ts'
import type { TimeZone } from '../value/time-zone.ts'
import { CURRENT_TIMESTAMP } from './build-column.ts'
import type { Table } from './schema.ts'
import { isBlobType, isTextType, typeText } from './type-text.ts'

export const quoteName = (name: string): string => `\`${name.replaceAll('`', '``')}\``
export const quoteText = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`

/** CREATE TABLE as TiDB prints it; `nextAutoId` is shown where the table has an AUTO_INCREMENT column that was used. */
export function showCreateTable(table: Table, nextAutoId: bigint, zone: TimeZone): string {
  const { info } = table
  const lines = info.columns.filter(({ hidden }) => !hidden).map((column) => `  ${columnText(table, column, zone)}`)
  if (info.pkIsHandle) {
    const key = info.columns.find(({ type }) => (type.flag & FieldFlag.PriKey) !== 0)
    lines.push(`  PRIMARY KEY (${quoteName(key?.name.original ?? '')}) /*T![clustered_index] CLUSTERED */`)
  }
  const primary = info.indexes.filter((index) => index.primary)
  for (const index of [...primary, ...info.indexes.filter((one) => !one.primary)])
    lines.push(`  ${indexText(table, index)}`)
  const comment = info.comment === '' ? '' : ` COMMENT=${quoteText(info.comment)}`
  const autoId = nextAutoId > 1n ? ` AUTO_INCREMENT=${nextAutoId}` : ''
  return `CREATE TABLE ${quoteName(info.name.original)} (\n${lines.join(',\n')}\n) ENGINE=InnoDB DEFAULT CHARSET=${info.charset} COLLATE=${info.collate}${autoId}${comment}`
}

function columnText(table: Table, column: ColumnInfo, zone: TimeZone): string {
  const { type } = column
  const has = (flag: number): boolean => (type.flag & flag) !== 0
  let text = `${quoteName(column.name.original)} ${typeText(type)}`
  if (isTextType(type)) {
    if (type.charset !== table.info.charset) text += ` CHARACTER SET ${type.charset} COLLATE ${type.collate}`
    else if (type.collate !== table.info.collate) text += ` COLLATE ${type.collate}`
  }
  if (has(FieldFlag.NotNull)) text += ' NOT NULL'
  else if (type.tp === MysqlType.Timestamp) text += ' NULL'
  if (has(FieldFlag.AutoIncrement)) text += ' AUTO_INCREMENT'
  else text += defaultText(column, zone)
  if (has(FieldFlag.OnUpdateNow)) text += ` ON UPDATE ${nowText(column)}`
  return column.comment === '' ? text : `${text} COMMENT ${quoteText(column.comment)}`
}

const nowText = ({ type }: ColumnInfo): string => CURRENT_TIMESTAMP + (type.decimal > 0 ? `(${type.decimal})` : '')

function defaultText(column: ColumnInfo, zone: TimeZone): string {
  const { type, defaultBit } = column
  if ((type.flag & FieldFlag.NoDefaultValue) !== 0) return ''
  const shown = shownDefault(column, zone)
  if (shown === null)
    return isBlobType(type) || type.tp === MysqlType.Json || (type.flag & FieldFlag.NotNull) !== 0
      ? isBlobType(type) || type.tp === MysqlType.Json
        ? ' DEFAULT NULL'
        : ''
      : ' DEFAULT NULL'
  if (defaultBit !== null) return ` DEFAULT b'${bitText(defaultBit)}'`
  return shown === nowText(column) && column.defaultValue === CURRENT_TIMESTAMP
    ? ` DEFAULT ${shown}`
    : ` DEFAULT ${quoteText(shown)}`
}

const bitText = (base64: string): string =>
  BigInt(`0x${Buffer.from(base64, 'base64').toString('hex') || '0'}`).toString(2)

/** The default as the session reads it (TIMESTAMP in its zone), null where there is none. */
export function shownDefault(column: ColumnInfo, zone: TimeZone): string | null {
  const { type, defaultValue, defaultBit } = column
  if (defaultBit !== null) return `b'${bitText(defaultBit)}'`
  if (defaultValue === null) return null
  if (defaultValue === CURRENT_TIMESTAMP && (type.tp === MysqlType.Timestamp || type.tp === MysqlType.Datetime))
    return nowText(column)
  const moment = type.tp === MysqlType.Timestamp ? parseDateTimeText(String(defaultValue)) : undefined
  if (moment !== undefined)
    return formatDateTime({ type: 'timestamp', ...timestampFromUtc(moment, zone), fsp: Math.max(0, type.decimal) })
  return String(defaultValue)
}

function indexText(table: Table, index: IndexInfo): string {
  const parts = index.columns
    .map(({ name, length }) => quoteName(name.original) + (length === -1 ? '' : `(${length})`))
    .join(',')
  if (index.primary)
    return `PRIMARY KEY (${parts}) /*T![clustered_index] ${table.info.isCommonHandle ? 'CLUSTERED' : 'NONCLUSTERED'} */`
  const comment = index.comment === '' ? '' : ` COMMENT ${quoteText(index.comment)}`
  return `${index.unique ? 'UNIQUE ' : ''}KEY ${quoteName(index.name.original)} (${parts})${index.invisible ? ' /*!80000 INVISIBLE */' : ''}${comment}`
}
