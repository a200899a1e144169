import { CdcError } from '../base/errors.ts'
import { doubleText, floatText, plainDecimal } from '../base/float-text.ts'
import type { DispatchRuleConfig } from '../config/replica-config.ts'
import type { RowChange, Value, Values } from '../event/row-change.ts'
import type { StoredRow } from '../event/stored-row.ts'
import type { TableVersion } from '../event/table-version.ts'
import { printCell } from '../tidb/cell-text.ts'
import { Kind } from '../tidb/cell.ts'
import { MAX_CELL_TEXT } from '../tidb/integer-text.ts'
import { ABSENT_CELL, fromOf, NULL_CELL, type StoredCells } from '../tidb/stored-cells.ts'
import { MysqlType } from '../tidb/table-info.ts'
import { CRC_START, crcAscii, crcBytes, crcEnd } from './crc32.ts'

/** Words of `partition`; an empty one and `default` mean `table`, `rowid` is the old name of `index-value`. */
export const PARTITION_RULES = ['default', 'table', 'ts', 'index-value', 'rowid', 'columns'] as const

/** Row → partition. */
export type PartitionOf = (row: RowChange) => number

/** The same of a row as it is stored. RangeError where a cell that it looks at is broken. */
export type PartitionOfStored = (row: StoredRow) => number

/** A column as it goes into the hash. */
interface HashColumn {
  readonly name: string
  /** In the row's values. */
  readonly position: number
}

/** What a rule is applied to, beside a table. */
export interface PartitionSetting {
  readonly partitions: number
  /** Of the rule in the configuration, for errors. */
  readonly place: string
  /** Positions of the columns that are sent, the only ones that are hashed; undefined = all. */
  readonly sent: readonly number[] | undefined
}

/**
 * The partition of each row of one table version (reference: dispatch, section 3). An update goes where its new values
 * say. Errors: `CDC:ErrDispatcherFailed` where the rule names what the table does not have.
 */
export function compilePartition(
  rule: DispatchRuleConfig,
  table: TableVersion,
  setting: PartitionSetting,
): PartitionOf {
  const { partitions } = setting
  if (partitionWord(rule) === 'ts') {
    const count = BigInt(partitions)
    return (row) => Number(row.commitTs % count)
  }
  const columns = hashColumns(rule, table, setting)
  const base = crcEnd(nameCrc(table))
  if (columns.length === 0) return () => base % partitions
  return ({ before, after }) => {
    const values: Values = after ?? before ?? []
    let hash = base
    for (const { position, prefix, single } of columns)
      hash ^= crcEnd(crcValue(prefix, values[position] ?? null, single))
    return (hash >>> 0) % partitions
  }
}

/** The same for rows as they are stored. `cellOf`: the cell of each column of the table. */
export function compileStoredPartition(
  rule: DispatchRuleConfig,
  table: TableVersion,
  setting: PartitionSetting,
  cellOf: readonly number[],
): PartitionOfStored {
  const { partitions } = setting
  if (partitionWord(rule) === 'ts') {
    const ofHigh = 2 ** 32 % partitions
    return ({ raw }) => ((raw.commitHigh % partitions) * ofHigh + raw.commitLow) % partitions
  }
  const columns = hashColumns(rule, table, setting)
  const base = crcEnd(nameCrc(table))
  const constant = base % partitions
  if (columns.length === 0) return () => constant
  return ({ before, after }) => {
    const cells = after.present ? after : before
    let hash = base
    for (const { position, prefix, single } of columns)
      hash ^= crcEnd(crcCell(prefix, cells, cellOf[position] ?? 0, single))
    return (hash >>> 0) % partitions
  }
}

/** The word that counts, in lower case. */
export const partitionWord = (rule: DispatchRuleConfig): string => (rule.partition || rule.dispatcher).toLowerCase()

const nameCrc = (table: TableVersion): number =>
  crcBytes(crcBytes(CRC_START, Buffer.from(table.schema)), Buffer.from(table.table))

/** Columns of the whole row that a rule hashes; for people who ask. Errors: as {@link compilePartition}. */
export function hashedColumns(rule: DispatchRuleConfig, table: TableVersion, setting: PartitionSetting): string[] {
  return ruleColumns(rule, table, setting.place)
    .filter(({ position }) => setting.sent?.includes(position) ?? true)
    .map(({ name }) => name)
}

/** What the rule hashes, of the columns that are sent; nothing where the partition is the table's. */
function hashColumns(rule: DispatchRuleConfig, table: TableVersion, { place, sent }: PartitionSetting) {
  return ruleColumns(rule, table, place)
    .filter(({ position }) => sent?.includes(position) ?? true)
    .map(({ name, position }) => ({
      position,
      prefix: crcBytes(CRC_START, Buffer.from(name)),
      single: table.columns[position]?.info.type.tp === MysqlType.Float,
    }))
}

function ruleColumns(rule: DispatchRuleConfig, table: TableVersion, place: string): readonly HashColumn[] {
  switch (partitionWord(rule)) {
    case 'index-value':
    case 'rowid':
      return indexColumns(rule, table, place)
    case 'columns':
      return listedColumns(rule, table, place)
    default:
      return []
  }
}

const scratch = new Uint8Array(MAX_CELL_TEXT)

function crcCell(state: number, cells: StoredCells, cell: number, single: boolean): number {
  const start = cells.start[cell] ?? NULL_CELL
  const format = cells.table.formats[cell]
  if (start === NULL_CELL || start === ABSENT_CELL || format === undefined)
    return crcValue(state, cells.value(cell), single)
  const end = cells.end[cell] ?? 0
  switch (format.kind) {
    case Kind.Bytes:
      return crcBytes(state, cells.bytesOf(start), fromOf(start), end)
    case Kind.Float:
    case Kind.Double:
    case Kind.Json:
    case Kind.Vector:
      return crcValue(state, cells.value(cell), single)
    default:
      return crcBytes(state, scratch, 0, printCell(format, cells.bytesOf(start), fromOf(start), end, scratch, 0))
  }
}

function crcValue(state: number, value: Value, single: boolean): number {
  if (value instanceof Uint8Array) return crcBytes(state, value)
  if (typeof value === 'string')
    return /^[\0-\x7f]*$/.test(value) ? crcAscii(state, value) : crcBytes(state, Buffer.from(value))
  if (typeof value === 'number') {
    if (Number.isInteger(value) && !Object.is(value, -0) && Number.isSafeInteger(value))
      return crcAscii(state, String(value))
    return crcAscii(state, plainDecimal(single ? floatText(value) : doubleText(value)))
  }
  if (value instanceof Float32Array) {
    return crcAscii(state, `[${Array.from(value, (one) => plainDecimal(floatText(one))).join(',')}]`)
  }
  return crcAscii(state, String(value))
}

/** Columns of the handle key, or of the unique index that the rule names. */
function indexColumns(rule: DispatchRuleConfig, table: TableVersion, rulePlace: string): readonly HashColumn[] {
  if (rule.index === '') return table.handleKey.map((position) => columnAt(table, position))
  const wanted = rule.index.toLowerCase()
  const key = table.keys.find(({ name }) => name.toLowerCase() === wanted)
  const place = `table: ${table.schema}.${table.table}, index: ${rule.index} (${rulePlace})`
  if (key?.unique === true) return key.columns.map((position) => columnAt(table, position))
  const index = table.info.indexes.find(({ name }) => name.lower === wanted)
  if (index === undefined) throw failed(`index not found when verify the table, ${place}`)
  if (!index.unique) throw failed(`index is not unique when verify the table, ${place}`)
  throw failed(`found virtual generated columns when dispatch event, ${place}`)
}

function listedColumns(rule: DispatchRuleConfig, table: TableVersion, rulePlace: string): readonly HashColumn[] {
  const place = `table: ${table.schema}.${table.table}`
  return rule.columns.map((name) => {
    const wanted = name.toLowerCase()
    const position = table.columns.findIndex((column) => column.info.name.lower === wanted)
    if (position >= 0) return columnAt(table, position)
    if (table.info.columns.some((column) => column.name.lower === wanted && !column.hidden)) {
      throw failed(`found virtual generated columns when dispatch event, ${place}, column: ${name} (${rulePlace})`)
    }
    const list = `columns: [${rule.columns.join(', ')}]`
    throw failed(`columns not found when dispatch event, ${place}, ${list}, column: ${name} (${rulePlace})`)
  })
}

function columnAt(table: TableVersion, position: number): HashColumn {
  const column = table.columns[position]
  if (column === undefined) throw new RangeError(`no column ${position} in ${table.schema}.${table.table}`)
  return { name: column.name, position }
}

const failed = (text: string): CdcError => new CdcError('CDC:ErrDispatcherFailed', text)
