import { compareBytes } from '../../../tidb/key.ts'
import { MysqlType } from '../../../tidb/table-info.ts'
import type { ColumnInfo, IndexInfo, TableInfo } from '../../../tidb/table-info.ts'
import { SqlError } from '../error.ts'
import { accessOf } from '../catalog/table-access.ts'
import { compile } from '../expression/compile.ts'
import type { EvalContext } from '../expression/context.ts'
import type { Expression } from '../parser/ast.ts'
import { castToColumn, integerRange } from '../value/cast.ts'
import { compareValues } from '../value/compare.ts'
import type { Value } from '../value/value.ts'

/** How to find the rows that a condition can be true for. */
export type AccessPath =
  | { readonly kind: 'none' }
  | { readonly kind: 'scan' }
  /** Integer handles, both ends included. */
  | { readonly kind: 'range'; readonly from: bigint | undefined; readonly to: bigint | undefined }
  | { readonly kind: 'handles'; readonly handles: readonly Uint8Array[] }
  | { readonly kind: 'index'; readonly index: IndexInfo; readonly prefixes: readonly Uint8Array[] }

/** More combinations of IN lists than this are read by a scan. */
const MAX_POINTS = 1000

/** Values that columns must equal, by column offset; from `=` and `IN` among conditions joined by AND. */
type Equalities = ReadonlyMap<number, readonly Value[]>

/** Chooses by the conditions alone: clustered key, then the index with most columns fixed, then a scan. */
export function choosePath(
  info: TableInfo,
  alias: string,
  where: Expression | undefined,
  context: EvalContext,
): AccessPath {
  const conditions = conjuncts(where)
  const equalities = equalitiesOf(info, alias, conditions, context)
  return (
    clusteredPath(info, equalities) ??
    indexPath(info, equalities) ??
    rangePath(info, alias, conditions, context) ?? { kind: 'scan' }
  )
}

function conjuncts(where: Expression | undefined): Expression[] {
  if (where === undefined) return []
  return where.kind === 'binary' && where.operator === 'AND'
    ? [...conjuncts(where.left), ...conjuncts(where.right)]
    : [where]
}

function equalitiesOf(
  info: TableInfo,
  alias: string,
  conditions: readonly Expression[],
  context: EvalContext,
): Equalities {
  const found = new Map<number, readonly Value[]>()
  for (const condition of conditions) {
    const [operand, items] = equalityOf(condition)
    if (operand === undefined) continue
    const column = columnOf(info, alias, operand)
    if (column === undefined || found.has(column.offset)) continue
    const values = items.map((item) => keyValue(column, item, context))
    if (!values.includes(undefined))
      found.set(
        column.offset,
        values.filter((value) => value !== undefined && value !== null),
      )
  }
  return found
}

/** The column side and the constant sides of `a = 1`, `1 = a` and `a IN (1, 2)`. */
function equalityOf(condition: Expression): readonly [Expression | undefined, readonly Expression[]] {
  if (condition.kind === 'in' && !condition.negated) return [condition.operand, condition.items]
  if (condition.kind !== 'binary' || condition.operator !== '=') return [undefined, []]
  return condition.left.kind === 'column' ? [condition.left, [condition.right]] : [condition.right, [condition.left]]
}

function columnOf(info: TableInfo, alias: string, node: Expression): ColumnInfo | undefined {
  if (node.kind !== 'column') return undefined
  if (node.table !== '' && node.table.toLowerCase() !== alias.toLowerCase()) return undefined
  const name = node.name.toLowerCase()
  return info.columns.find((column) => column.name.lower === name)
}

/** A constant as the column stores it; undefined where it is none, or where storing it would change what it equals. */
function keyValue(column: ColumnInfo, node: Expression, context: EvalContext): Value | undefined {
  if (node.kind !== 'literal' && node.kind !== 'parameter' && node.kind !== 'userVariable' && node.kind !== 'unary')
    return undefined
  try {
    const value = compile(node, { scope: [], context }).evaluate([])
    if (value === null) return null
    const isText = typeof value === 'string' || value instanceof Uint8Array
    if (!isText && isTextColumn(column)) return undefined
    const stored = castToColumn(
      value,
      column.type,
      { column: column.name.original, row: 1 },
      { ...context.cast, strict: true, warn() {} },
    )
    return stored !== null && compareValues(value, stored) === 0 ? stored : undefined
  } catch (error) {
    if (error instanceof SqlError) return undefined
    throw error
  }
}

/** Columns that a number equals by the number in their text: no key lookup for those. */
function isTextColumn({ type }: ColumnInfo): boolean {
  const numeric: readonly MysqlType[] = [
    MysqlType.Tiny,
    MysqlType.Short,
    MysqlType.Int24,
    MysqlType.Long,
    MysqlType.Longlong,
    MysqlType.Year,
    MysqlType.NewDecimal,
    MysqlType.Double,
  ]
  return !numeric.includes(type.tp)
}

function clusteredPath(info: TableInfo, equalities: Equalities): AccessPath | undefined {
  const access = accessOf(info)
  const primary = info.indexes.find((index) => index.primary)
  const offsets =
    access.handleOffset >= 0
      ? [access.handleOffset]
      : info.isCommonHandle && primary !== undefined
        ? primary.columns.map(({ offset }) => offset)
        : []
  if (offsets.length === 0 || primary?.columns.some(({ length }) => length !== -1)) return undefined
  const points = combinations(offsets, equalities)
  if (points === undefined || points[0]?.length !== offsets.length)
    return points?.length === 0 ? { kind: 'none' } : undefined
  const handles = points.map((point) => {
    const row: Value[] = []
    for (const [i, offset] of offsets.entries()) row[offset] = point[i] ?? null
    return access.handleOf(row, 0n)
  })
  return { kind: 'handles', handles: unique(handles) }
}

/** All combinations of the values of leading columns that are fixed; undefined where the first one is not. */
function combinations(offsets: readonly number[], equalities: Equalities): Value[][] | undefined {
  let points: Value[][] | undefined
  for (const offset of offsets) {
    const values = equalities.get(offset)
    if (values === undefined) break
    const next = (points ?? [[]]).flatMap((point) => values.map((value) => [...point, value]))
    if (next.length > MAX_POINTS) break
    points = next
  }
  return points
}

function indexPath(info: TableInfo, equalities: Equalities): AccessPath | undefined {
  let best: { readonly index: IndexInfo; readonly points: Value[][] } | undefined
  for (const index of info.indexes) {
    if ((index.primary && info.isCommonHandle) || index.columns.some(({ length }) => length !== -1)) continue
    const points = combinations(
      index.columns.map(({ offset }) => offset),
      equalities,
    )
    if (points === undefined) continue
    if (points.length === 0) return { kind: 'none' }
    if (best === undefined || (points[0]?.length ?? 0) > (best.points[0]?.length ?? 0)) best = { index, points }
  }
  if (best === undefined) return undefined
  const access = accessOf(info)
  const { index } = best
  return { kind: 'index', index, prefixes: unique(best.points.map((point) => access.indexKey(index, point))) }
}

function unique(keys: readonly Uint8Array[]): Uint8Array[] {
  const sorted = keys.toSorted(compareBytes)
  return sorted.filter((key, i) => i === 0 || compareBytes(sorted[i - 1] ?? key, key) !== 0)
}

/** `id > 5 AND id <= 9` or BETWEEN on an integer handle. */
function rangePath(
  info: TableInfo,
  alias: string,
  conditions: readonly Expression[],
  context: EvalContext,
): AccessPath | undefined {
  const column = info.columns[accessOf(info).handleOffset]
  if (column === undefined || integerRange(column.type)[1] > 0x7fff_ffff_ffff_ffffn) return undefined
  let from: bigint | undefined
  let to: bigint | undefined
  const atLeast = (value: bigint): void => void (from = from === undefined || value > from ? value : from)
  const atMost = (value: bigint): void => void (to = to === undefined || value < to ? value : to)
  for (const condition of conditions) {
    if (condition.kind === 'between' && !condition.negated && columnOf(info, alias, condition.operand) === column) {
      const low = keyValue(column, condition.low, context)
      const high = keyValue(column, condition.high, context)
      if (typeof low === 'bigint') atLeast(low)
      if (typeof high === 'bigint') atMost(high)
    }
    if (condition.kind !== 'binary') continue
    const mirrored = columnOf(info, alias, condition.right) === column
    if (!mirrored && columnOf(info, alias, condition.left) !== column) continue
    const bound = keyValue(column, mirrored ? condition.left : condition.right, context)
    if (typeof bound !== 'bigint') continue
    const lower = mirrored ? ['<', '<='] : ['>', '>=']
    const upper = mirrored ? ['>', '>='] : ['<', '<=']
    if (lower.includes(condition.operator)) atLeast(bound)
    if (upper.includes(condition.operator)) atMost(bound)
  }
  return from === undefined && to === undefined ? undefined : { kind: 'range', from, to }
}
