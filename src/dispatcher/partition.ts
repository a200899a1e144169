import { CdcError } from '../base/errors.ts'
import { doubleText, floatText, plainDecimal } from '../base/float-text.ts'
import type { DispatchRuleConfig } from '../config/replica-config.ts'
import type { RowChange, Value, Values } from '../event/row-change.ts'
import type { TableVersion } from '../event/table-version.ts'
import { MysqlType } from '../tidb/table-info.ts'
import { CRC_START, crcAscii, crcBytes, crcEnd } from './crc32.ts'

/** Words of `partition`; an empty one and `default` mean `table`, `rowid` is the old name of `index-value`. */
export const PARTITION_RULES = ['default', 'table', 'ts', 'index-value', 'rowid', 'columns'] as const

/** Row → partition. */
export type PartitionOf = (row: RowChange) => number

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
  { partitions, place, sent }: PartitionSetting,
): PartitionOf {
  const isSent = ({ position }: HashColumn): boolean => sent?.includes(position) ?? true
  switch (partitionWord(rule)) {
    case 'ts': {
      const count = BigInt(partitions)
      return (row) => Number(row.commitTs % count)
    }
    case 'index-value':
    case 'rowid':
      return hashColumns(table, indexColumns(rule, table, place).filter(isSent), partitions)
    case 'columns':
      return hashColumns(table, listedColumns(rule, table, place).filter(isSent), partitions)
    default: {
      const partition = crcEnd(nameCrc(table)) % partitions
      return () => partition
    }
  }
}

/** The word that counts, in lower case. */
export const partitionWord = (rule: DispatchRuleConfig): string => (rule.partition || rule.dispatcher).toLowerCase()

const nameCrc = (table: TableVersion): number =>
  crcBytes(crcBytes(CRC_START, Buffer.from(table.schema)), Buffer.from(table.table))

/** Columns of the whole row that a rule hashes; for people who ask. Errors: as {@link compilePartition}. */
export function hashedColumns(rule: DispatchRuleConfig, table: TableVersion, setting: PartitionSetting): string[] {
  const columns =
    partitionWord(rule) === 'columns'
      ? listedColumns(rule, table, setting.place)
      : /^(?:index-value|rowid)$/.test(partitionWord(rule))
        ? indexColumns(rule, table, setting.place)
        : []
  return columns.filter(({ position }) => setting.sent?.includes(position) ?? true).map(({ name }) => name)
}

function hashColumns(table: TableVersion, columns: readonly HashColumn[], partitions: number): PartitionOf {
  const base = crcEnd(nameCrc(table))
  const hashed = columns.map(({ name, position }) => ({
    position,
    prefix: crcBytes(CRC_START, Buffer.from(name)),
    single: table.columns[position]?.info.type.tp === MysqlType.Float,
  }))
  return ({ before, after }) => {
    const values: Values = after ?? before ?? []
    let hash = base
    for (const { position, prefix, single } of hashed) {
      hash ^= crcEnd(crcValue(prefix, values[position] ?? null, single))
    }
    return (hash >>> 0) % partitions
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
