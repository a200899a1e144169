import { integerOf, listOf, numberOf, objectOf, stringOf } from '../../../tidb/json-big.ts'
import type { JsonObject } from '../../../tidb/json-big.ts'
import { nameOf } from '../../../tidb/table-info-json.ts'
import { FieldFlag, MysqlType } from '../../../tidb/table-info.ts'
import type { ColumnInfo, IndexInfo } from '../../../tidb/table-info.ts'
import { parseDateTimeText } from '../value/time.ts'
import { formatDateTime } from '../value/time.ts'
import { timestampFromUtc } from '../value/time-zone.ts'
import type { TimeZone } from '../value/time-zone.ts'
import { CURRENT_TIMESTAMP } from './build-column.ts'
import { isAutoRandom } from './row-ids.ts'
import type { Table } from './schema.ts'
import { isBlobType, isTextType, typeText } from './type-text.ts'

export const quoteName = (name: string): string => `\`${name.replaceAll('`', '``')}\``
export const quoteText = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`

/** CREATE TABLE as TiDB prints it; `nextAutoId` is shown where the table has an AUTO_INCREMENT column that was used. */
export function showCreateTable(table: Table, nextAutoId: bigint, zone: TimeZone): string {
  const { info, stored } = table
  if (info.isView) return showCreateView(table)
  if (info.isSequence) return showCreateSequence(table)
  const lines = info.columns.filter(({ hidden }) => !hidden).map((column) => `  ${columnText(table, column, zone)}`)
  if (info.pkIsHandle) {
    const key = info.columns.find(({ type }) => (type.flag & FieldFlag.PriKey) !== 0)
    lines.push(`  PRIMARY KEY (${quoteName(key?.name.original ?? '')}) /*T![clustered_index] CLUSTERED */`)
  }
  const primary = info.indexes.filter((index) => index.primary)
  for (const index of [...primary, ...info.indexes.filter((one) => !one.primary)])
    lines.push(`  ${indexText(table, index)}`)
  for (const item of listOf(stored['fk_info'])) lines.push(`  ${foreignKeyText(objectOf(item))}`)
  const comment = info.comment === '' ? '' : ` COMMENT=${quoteText(info.comment)}`
  const isRandom = isAutoRandom(table)
  const autoId = nextAutoId > 1n && !isRandom ? ` AUTO_INCREMENT=${nextAutoId}` : ''
  return `CREATE TABLE ${quoteName(info.name.original)} (\n${lines.join(',\n')}\n) ENGINE=InnoDB DEFAULT CHARSET=${info.charset} COLLATE=${info.collate}${autoId}${optionsText(stored)}${comment}${partitionText(table)}`
}

function showCreateView({ info, stored }: Table): string {
  const view = objectOf(stored['view'])
  const columns = info.columns.map(({ name }) => quoteName(name.original)).join(', ')
  const security = numberOf(view['view_security']) === 1 ? 'INVOKER' : 'DEFINER'
  return `CREATE ALGORITHM=UNDEFINED DEFINER=\`root\`@\`%\` SQL SECURITY ${security} VIEW ${quoteName(info.name.original)} (${columns}) AS ${stringOf(view['view_select'])}`
}

function showCreateSequence({ info, stored }: Table): string {
  const sequence = objectOf(stored['sequence'])
  const of = (key: string): bigint => integerOf(sequence[key])
  const cache = sequence['sequence_cache'] === true ? `cache ${of('sequence_cache_value')}` : 'nocache'
  const cycle = sequence['sequence_cycle'] === true ? 'cycle' : 'nocycle'
  return `CREATE SEQUENCE ${quoteName(info.name.original)} start with ${of('sequence_start')} minvalue ${of('sequence_min_value')} maxvalue ${of('sequence_max_value')} increment by ${of('sequence_increment')} ${cache} ${cycle} ENGINE=InnoDB`
}

const ACTIONS = ['', 'RESTRICT', 'CASCADE', 'SET NULL', 'NO ACTION', 'SET DEFAULT'] as const

function foreignKeyText(key: JsonObject): string {
  const names = (list: string): string =>
    listOf(key[list])
      .map((name) => quoteName(nameOf(name).original))
      .join(',')
  const action = (event: string, code: number): string =>
    ACTIONS[code] === undefined || code === 0 ? '' : ` ON ${event} ${ACTIONS[code]}`
  const table = `${quoteName(nameOf(key['ref_schema']).original)}.${quoteName(nameOf(key['ref_table']).original)}`
  return `CONSTRAINT ${quoteName(nameOf(key['fk_name']).original)} FOREIGN KEY (${names('cols')}) REFERENCES ${table} (${names('ref_cols')})${action('DELETE', numberOf(key['on_delete']))}${action('UPDATE', numberOf(key['on_update']))}`
}

const TIME_UNITS = ['', 'MICROSECOND', 'SECOND', 'MINUTE', 'HOUR', 'DAY', 'WEEK', 'MONTH', 'QUARTER', 'YEAR'] as const

/** Options in TiDB's executable comments. */
function optionsText(stored: JsonObject): string {
  const shardBits = numberOf(stored['ShardRowIDBits'])
  const splits = numberOf(stored['pre_split_regions'])
  const cache = integerOf(stored['auto_id_cache'])
  const placement = nameOf(objectOf(stored['policy_ref_info'])['name']).original
  let text = ''
  if (shardBits > 0)
    text += ` /*T! SHARD_ROW_ID_BITS=${shardBits}${splits > 0 ? ` PRE_SPLIT_REGIONS=${splits}` : ''} */`
  if (cache > 0n) text += ` /*T![auto_id_cache] AUTO_ID_CACHE=${cache} */`
  if (placement !== '') text += ` /*T![placement] PLACEMENT POLICY=${quoteName(placement)} */`
  if ((stored['ttl_info'] ?? null) !== null) {
    const ttl = objectOf(stored['ttl_info'])
    const unit = TIME_UNITS[numberOf(ttl['IntervalTimeUnit'])] ?? 'DAY'
    text += ` /*T![ttl] TTL=${quoteName(nameOf(ttl['column']).original)} + INTERVAL ${stringOf(ttl['IntervalExprStr'])} ${unit} */`
    text += ` /*T![ttl] TTL_ENABLE='${ttl['enable'] === true ? 'ON' : 'OFF'}' */`
    text += ` /*T![ttl] TTL_JOB_INTERVAL='${stringOf(ttl['job_interval'])}' */`
  }
  return text
}

function partitionText({ info, stored }: Table): string {
  if (info.partitions === undefined) return ''
  const partition = objectOf(stored['partition'])
  const columns = listOf(partition['columns']).map((name) => quoteName(nameOf(name).original))
  const kind = ['', 'RANGE', 'HASH', 'LIST', 'KEY'][numberOf(partition['type'])] ?? ''
  if (kind === 'HASH')
    return `\nPARTITION BY HASH (${stringOf(partition['expr'])}) PARTITIONS ${info.partitions.length}`
  if (kind === 'KEY') return `\nPARTITION BY KEY (${columns.join(',')}) PARTITIONS ${info.partitions.length}`
  const by = columns.length > 0 ? `${kind} COLUMNS(${columns.join(',')})` : `${kind} (${stringOf(partition['expr'])})`
  const definitions = listOf(partition['definitions']).map((item) => {
    const definition = objectOf(item)
    const bounds = listOf(definition['less_than']).map(stringOf)
    const tuples = listOf(definition['in_values']).map((tuple) => listOf(tuple).map(stringOf))
    const values =
      kind === 'RANGE'
        ? `VALUES LESS THAN (${bounds.join(',')})`
        : `VALUES IN (${tuples.map((tuple) => (tuple.length > 1 ? `(${tuple.join(',')})` : tuple.join())).join(',')})`
    const comment = stringOf(definition['comment'])
    return ` PARTITION ${quoteName(nameOf(definition['name']).original)} ${values}${comment === '' ? '' : ` COMMENT ${quoteText(comment)}`}`
  })
  return `\nPARTITION BY ${by}\n(${definitions.join(',\n').trimStart()})`
}

function columnText(table: Table, column: ColumnInfo, zone: TimeZone): string {
  const { type } = column
  const has = (flag: number): boolean => (type.flag & flag) !== 0
  let text = `${quoteName(column.name.original)} ${typeText(type)}`
  if (isTextType(type)) {
    if (type.charset !== table.info.charset) text += ` CHARACTER SET ${type.charset} COLLATE ${type.collate}`
    else if (type.collate !== table.info.collate) text += ` COLLATE ${type.collate}`
  }
  if (column.generatedExpr !== '')
    text += ` GENERATED ALWAYS AS (${column.generatedExpr}) ${column.generatedStored ? 'STORED' : 'VIRTUAL'}`
  if (has(FieldFlag.NotNull)) text += ' NOT NULL'
  else if (type.tp === MysqlType.Timestamp) text += ' NULL'
  if (has(FieldFlag.AutoIncrement)) text += ' AUTO_INCREMENT'
  else if (isAutoRandom(table) && has(FieldFlag.PriKey)) text += autoRandomText(table.stored)
  else if (column.generatedExpr === '') text += defaultText(column, zone)
  if (has(FieldFlag.OnUpdateNow)) text += ` ON UPDATE ${nowText(column)}`
  return column.comment === '' ? text : `${text} COMMENT ${quoteText(column.comment)}`
}

function autoRandomText(stored: JsonObject): string {
  const range = numberOf(stored['auto_random_range_bits'])
  return ` /*T![auto_rand] AUTO_RANDOM(${numberOf(stored['auto_random_bits'])}${range === 0 ? '' : `, ${range}`}) */`
}

const nowText = ({ type }: ColumnInfo): string => CURRENT_TIMESTAMP + (type.decimal > 0 ? `(${type.decimal})` : '')

function defaultText(column: ColumnInfo, zone: TimeZone): string {
  const { type, defaultBit } = column
  if (column.defaultIsExpr) return ` DEFAULT (${String(column.defaultValue)})`
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
    .map(({ name, offset, length }) => {
      const column = table.info.columns[offset]
      if (column?.hidden === true) return `(${column.generatedExpr})`
      return quoteName(name.original) + (length === -1 ? '' : `(${length})`)
    })
    .join(',')
  if (index.primary)
    return `PRIMARY KEY (${parts}) /*T![clustered_index] ${table.info.isCommonHandle ? 'CLUSTERED' : 'NONCLUSTERED'} */`
  const comment = index.comment === '' ? '' : ` COMMENT ${quoteText(index.comment)}`
  return `${index.unique ? 'UNIQUE ' : ''}KEY ${quoteName(index.name.original)} (${parts})${index.invisible ? ' /*!80000 INVISIBLE */' : ''}${comment}`
}
