import { crc32 } from 'node:zlib'

import { integerOf, listOf, numberOf, objectOf, stringOf } from '../../../tidb/json-big.ts'
import type { JsonObject, JsonValue } from '../../../tidb/json-big.ts'
import { ciName, nameOf } from '../../../tidb/table-info-json.ts'
import { FieldFlag } from '../../../tidb/table-info.ts'
import type { FieldType, PartitionDefinition, TableInfo } from '../../../tidb/table-info.ts'
import { SqlError, unsupported } from '../error.ts'
import { compile } from '../expression/compile.ts'
import type { EvalContext } from '../expression/context.ts'
import type { Expression, PartitionDefinitionNode, PartitionKind, PartitionNode } from '../parser/ast.ts'
import { parseExpressionText } from '../parser/parser.ts'
import { restoreExpression } from '../parser/restore.ts'
import { castToColumn } from '../value/cast.ts'
import { compareValues } from '../value/compare.ts'
import { utc } from '../value/time-zone.ts'
import { toBytes, toDecimal, toText } from '../value/value.ts'
import type { Row, Value } from '../value/value.ts'
import { findColumn } from './build-table.ts'
import { scopeOfColumns } from './computed-columns.ts'
import { columnNames } from './expression-type.ts'
import type { Table } from './schema.ts'

/** Codes of PartitionInfo.type. */
const TYPES: Readonly<Record<PartitionKind, number>> = { range: 1, hash: 2, list: 3, key: 4 }

const split = new WeakMap<TableInfo, readonly TableInfo[]>()

/** What rows are kept in: the partitions, each as a table with its own id, or the table itself. */
export function physicalTables(info: TableInfo): readonly TableInfo[] {
  const { partitions } = info
  if (partitions === undefined) return [info]
  let tables = split.get(info)
  if (tables === undefined) {
    tables = partitions.map(({ id }) => ({ ...info, id, partitions: undefined }))
    split.set(info, tables)
  }
  return tables
}

/** How many definitions a PARTITION BY makes. */
export const partitionCount = (node: PartitionNode): number =>
  node.definitions.length > 0 ? node.definitions.length : (node.count ?? 1)

/** A partitioning as TableInfo and its JSON have it. */
export interface Partitioning {
  readonly partitions: readonly PartitionDefinition[]
  readonly json: JsonObject
}

/** Checks a PARTITION BY against the table; `ids` are for its definitions. */
export function buildPartitioning(
  node: PartitionNode,
  info: TableInfo,
  ids: readonly bigint[],
  context: EvalContext,
): Partitioning {
  const columns = node.expression === undefined ? columnsOf(node, info) : []
  for (const name of [...columns, ...columnNames(node.expression)])
    if (findColumn(info, name) === undefined)
      throw new SqlError(1054, `Unknown column '${name}' in 'partition function'`)
  checkKeys(info, [...columns, ...columnNames(node.expression)])
  const nodes =
    node.definitions.length > 0
      ? node.definitions
      : Array.from({ length: node.count ?? 1 }, (_, i): PartitionDefinitionNode => ({
          name: `p${i}`,
          comment: '',
          placement: '',
        }))
  if (nodes.length === 0) throw new SqlError(1504, 'Number of partitions = 0 is not an allowed value')
  if (nodes.length > 8192) throw new SqlError(1499, 'Too many partitions (including subpartitions) were defined')
  if ((node.kind === 'range' || node.kind === 'list') && node.definitions.length === 0)
    throw new SqlError(1492, `For ${node.kind.toUpperCase()} partitions each partition must be defined`)
  const text = node.expression === undefined ? '' : restoreExpression(node.expression)
  const base: JsonObject = {
    type: TYPES[node.kind],
    expr: text.replace(/^[a-z_]+(?=\()/, (name) => name.toUpperCase()),
    columns:
      columns.length === 0 ? null : columns.map((name) => nameJson(findColumn(info, name)?.name.original ?? name)),
    enable: true,
    is_empty_columns: node.kind === 'key' && node.columns.length === 0,
    definitions: null,
    adding_definitions: null,
    dropping_definitions: null,
    NewPartitionIDs: null,
    OriginalPartitionIDsOrder: null,
    states: null,
    num: nodes.length,
    ddl_state: 0,
    new_table_id: 0,
    ddl_type: 0,
    ddl_expr: '',
    ddl_columns: null,
    ddl_update_indexes: null,
  }
  return withDefinitions(base, buildDefinitions(nodes, base, info, ids, context), info)
}

/** The same partitioning over other definitions (JSON), which are checked together. */
export function withDefinitions(base: JsonObject, definitions: readonly JsonObject[], info: TableInfo): Partitioning {
  const partitions = definitions.map((one) => ({ id: integerOf(one['id']), name: nameOf(one['name']) }))
  const seen = new Set<string>()
  for (const { name } of partitions) {
    if (seen.has(name.lower)) throw new SqlError(1517, `Duplicate partition name ${name.original}`)
    seen.add(name.lower)
  }
  const json = { ...base, definitions, num: definitions.length }
  checkBounds(json, info)
  return { partitions, json }
}

/** JSON of new definitions for a table whose partitioning is `base`. */
export function buildDefinitions(
  nodes: readonly PartitionDefinitionNode[],
  base: JsonObject,
  info: TableInfo,
  ids: readonly bigint[],
  context: EvalContext,
): JsonObject[] {
  const types = boundTypes(base, info)
  const kind = numberOf(base['type'])
  return nodes.map((node, i) => {
    if (kind === TYPES.range && node.lessThan === undefined)
      throw new SqlError(
        1479,
        'Syntax error: RANGE PARTITIONING requires definition of VALUES LESS THAN for each partition',
      )
    if (kind === TYPES.list && node.inValues === undefined)
      throw new SqlError(1479, 'Syntax error: LIST PARTITIONING requires definition of VALUES IN for each partition')
    return {
      id: ids[i] ?? 0n,
      name: nameJson(node.name),
      less_than: node.lessThan?.map((bound, at) => boundText(bound, types[at], context)) ?? null,
      in_values:
        node.inValues?.map((tuple) =>
          tuple.length === 0 ? ['DEFAULT'] : tuple.map((bound, at) => boundText(bound, types[at], context)),
        ) ?? null,
      policy_ref_info: null,
      ...(node.comment === '' ? {} : { comment: node.comment }),
    }
  })
}

const nameJson = (name: string): JsonObject => ({ O: name, L: name.toLowerCase() })

/** Types that bounds are compared in; undefined = integers of an expression. */
const boundTypes = (base: JsonObject, info: TableInfo): (FieldType | undefined)[] =>
  base['columns'] === null
    ? [undefined]
    : listOf(base['columns']).map((name) => findColumn(info, nameOf(name).original)?.type)

function boundText(bound: Expression | undefined, type: FieldType | undefined, context: EvalContext): string {
  if (bound === undefined) return 'MAXVALUE'
  const value = compile(bound, { scope: [], context }).evaluate([])
  if (value === null) return 'NULL'
  if (type === undefined) {
    if (typeof value !== 'bigint') throw new SqlError(1697, 'VALUES value for partition must have type INT')
    return value.toString()
  }
  try {
    const cast = castToColumn(value, type, { column: '', row: 1 }, { ...context.cast, strict: true, warn() {} })
    return typeof cast === 'bigint'
      ? cast.toString()
      : restoreExpression({ kind: 'literal', value: cast === null ? null : toText(cast) })
  } catch (cause) {
    throw new SqlError(1654, 'Partition column values of incorrect type', { cause })
  }
}

function columnsOf(node: PartitionNode, info: TableInfo): readonly string[] {
  if (node.columns.length > 0) return node.columns
  const key = info.columns.filter(({ type }) => (type.flag & FieldFlag.PriKey) !== 0)
  if (key.length === 0) throw new SqlError(1488, 'Field in list of fields for partition function not found in table')
  return key.map(({ name }) => name.original)
}

/** Error 1503: every unique key must have all columns that choose the partition. */
function checkKeys(info: TableInfo, columns: readonly string[]): void {
  const wanted = columns.map((name) => name.toLowerCase())
  const fault = (kind: string): SqlError =>
    new SqlError(1503, `A ${kind} must include all columns in the table's partitioning function`)
  const handle = info.columns.filter(({ type }) => (type.flag & FieldFlag.PriKey) !== 0).map(({ name }) => name.lower)
  if (info.pkIsHandle && wanted.some((name) => !handle.includes(name))) throw fault('PRIMARY KEY')
  for (const index of info.indexes) {
    if (!index.unique) continue
    const names = index.columns.filter(({ length }) => length === -1).map(({ name }) => name.lower)
    if (wanted.some((name) => !names.includes(name))) throw fault(index.primary ? 'PRIMARY KEY' : 'UNIQUE INDEX')
  }
}

/** The same rule for a table that has its partitions already, as an index is added. */
export function checkPartitionKeys(info: TableInfo, stored: JsonObject): void {
  if (info.partitions === undefined) return
  const partition = objectOf(stored['partition'])
  const expression = stringOf(partition['expr'])
  checkKeys(info, [
    ...listOf(partition['columns']).map((name) => nameOf(name).original),
    ...(expression === '' ? [] : columnNames(parseExpressionText(expression))),
  ])
}

function checkBounds(json: JsonObject, info: TableInfo): void {
  const types = boundTypes(json, info)
  const definitions = listOf(json['definitions']).map(objectOf)
  if (numberOf(json['type']) === TYPES.range) {
    const bounds = definitions.map((one) => boundsOf(one['less_than'], types))
    for (const [i, bound] of bounds.entries()) {
      const before = bounds[i - 1]
      if (before === undefined) continue
      if (before.every((value) => value === undefined))
        throw new SqlError(1481, 'MAXVALUE can only be used in last partition definition')
      if (compareBounds(before, bound) >= 0)
        throw new SqlError(1493, 'VALUES LESS THAN value must be strictly increasing for each partition')
    }
  }
  if (numberOf(json['type']) === TYPES.list) {
    const all = definitions.flatMap((one) =>
      listOf(one['in_values']).map((tuple) => listOf(tuple).map(stringOf).join()),
    )
    if (new Set(all).size !== all.length)
      throw new SqlError(1495, 'Multiple definition of same constant in list partitioning')
  }
}

/** undefined = MAXVALUE. */
type Bound = Value | undefined

const boundsOf = (texts: JsonValue | undefined, types: readonly (FieldType | undefined)[]): Bound[] =>
  listOf(texts).map((text, i) => (text === 'MAXVALUE' ? undefined : boundValue(stringOf(text), types[i])))

const lenient = {
  zone: utc,
  strict: false,
  noZeroDate: false,
  noZeroInDate: false,
  today: { year: 1970, month: 1, day: 1 },
  warn() {},
}

function boundValue(text: string, type: FieldType | undefined): Value {
  const node = parseExpressionText(text)
  const value =
    node.kind === 'literal'
      ? node.value
      : node.kind === 'unary' && node.operand.kind === 'literal' && typeof node.operand.value === 'bigint'
        ? -node.operand.value
        : null
  return type === undefined || value === null ? value : castToColumn(value, type, { column: '', row: 1 }, lenient)
}

/** NULL is least, MAXVALUE most. */
function compareBounds(a: readonly Bound[], b: readonly Bound[]): number {
  for (const [i, x] of a.entries()) {
    const y = b[i]
    if (x === undefined || y === undefined) {
      if (x !== y) return x === undefined ? 1 : -1
      continue
    }
    const order = x === null || y === null ? Number(x !== null) - Number(y !== null) : compareValues(x, y)
    if (order !== 0) return order
  }
  return 0
}

/** Finds the partition of a row, by its place among {@link physicalTables}. Error 1526 where there is none. */
export function compileRouter(
  { info, stored }: Pick<Table, 'info' | 'stored'>,
  context: EvalContext,
): (row: Row) => number {
  const { partitions } = info
  if (partitions === undefined) return () => 0
  const partition = objectOf(stored['partition'])
  const types = boundTypes(partition, info)
  const expression = stringOf(partition['expr'])
  const key = listOf(partition['columns']).map((name) => findColumn(info, nameOf(name).original)?.offset ?? -1)
  const compiled =
    expression === '' ? undefined : compile(parseExpressionText(expression), { scope: scopeOfColumns(info), context })
  const valuesOf = (row: Row): Value[] =>
    compiled === undefined ? key.map((offset) => row[offset] ?? null) : [compiled.evaluate(row)]
  const definitions = listOf(partition['definitions']).map(objectOf)
  const missing = (values: readonly Value[]): SqlError => {
    const shown = key.length > 0 ? 'from column_list' : values[0] === null ? 'NULL' : toText(values[0] ?? 0n)
    return new SqlError(1526, `Table has no partition for value ${shown}`)
  }
  switch (numberOf(partition['type'])) {
    case TYPES.range: {
      const bounds = definitions.map((one) => boundsOf(one['less_than'], types))
      return (row) => {
        const values = valuesOf(row)
        const place = bounds.findIndex((bound) => compareBounds(values, bound) < 0)
        if (place < 0) throw missing(values)
        return place
      }
    }
    case TYPES.list: {
      const lists = definitions.map((one) => listOf(one['in_values']).map(listOf))
      const otherwise = lists.findIndex((tuples) => tuples.some(([first]) => first === 'DEFAULT'))
      const tuples = lists.map((list) =>
        list.filter(([first]) => first !== 'DEFAULT').map((tuple) => boundsOf(tuple, types)),
      )
      return (row) => {
        const values = valuesOf(row)
        const place = tuples.findIndex((list) => list.some((tuple) => compareBounds(values, tuple) === 0))
        if (place < 0 && otherwise < 0) throw missing(values)
        return place < 0 ? otherwise : place
      }
    }
    case TYPES.hash:
      return (row) => {
        const [value = null] = valuesOf(row)
        const number = value === null ? 0n : toDecimal(value).toBigInt() % BigInt(partitions.length)
        return Number(number < 0n ? -number : number)
      }
    case TYPES.key:
      return (row) => {
        const bytes = valuesOf(row).map((value) => (value === null ? Buffer.alloc(1) : Buffer.from(toBytes(value))))
        return crc32(Buffer.concat(bytes)) % partitions.length
      }
    default:
      throw unsupported('this kind of partitions')
  }
}

/** Places of the partitions that are named; error 1735 where one is not there. */
export function partitionPlaces(info: TableInfo, names: readonly string[]): number[] {
  return names.map((name) => {
    const place = info.partitions?.findIndex((one) => one.name.lower === ciName(name).lower) ?? -1
    if (place < 0) throw new SqlError(1735, `Unknown partition '${name}' in table '${info.name.original}'`)
    return place
  })
}
