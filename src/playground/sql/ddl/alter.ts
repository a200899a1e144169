import { listOf, objectOf } from '../../../tidb/json-big.ts'
import type { JsonObject, JsonValue } from '../../../tidb/json-big.ts'
import { ciName, nameOf } from '../../../tidb/table-info-json.ts'
import { FieldFlag } from '../../../tidb/table-info.ts'
import type { ColumnInfo, IndexInfo, TableInfo } from '../../../tidb/table-info.ts'
import { buildColumn, buildDefault } from '../catalog/build-column.ts'
import { addIndex, checkGenerated, findColumn, setKeyFlags } from '../catalog/build-table.ts'
import { resolveCollation } from '../catalog/field-type.ts'
import { checkPartitionKeys } from '../catalog/partitions.ts'
import { optionKeys, withForeignKey } from '../catalog/stored-options.ts'
import { isTextType, typeText } from '../catalog/type-text.ts'
import type { EvalContext } from '../expression/context.ts'
import { castToColumn } from '../value/cast.ts'
import type { Row, Value } from '../value/value.ts'
import { originDefault } from '../catalog/column-default.ts'
import { SqlError, unsupported } from '../error.ts'
import type { AlterSpec, ColumnNode, ColumnPosition, TableOptions } from '../parser/ast.ts'
import type { CastContext } from '../value/cast.ts'
import { findCollation } from '../value/collation.ts'
import type { DateTime } from '../value/time.ts'
import { Action } from './job.ts'
import { isCharsetWidened, needsReorganization } from './modify-column.ts'

/** A table under change, with the largest index id that it ever had. */
export interface Draft {
  readonly info: TableInfo
  readonly stored: JsonObject
  readonly maxIndexId: number
}

/** What one clause of ALTER TABLE does. */
export interface AlterStep {
  readonly type: number
  readonly draft: Draft
  readonly rawArgs?: JsonValue
  /** Filled from the rows before the change is made public. */
  readonly newIndexes?: readonly IndexInfo[]
  /** A column whose values are made anew, from rows as they were before this step. */
  readonly rewrite?: {
    readonly before: TableInfo
    readonly column: ColumnInfo
    readonly change: (row: Row) => Value
  }
  /** Rows are checked for NULL in this column (by offset before the change). */
  readonly mustNotBeNull?: number
}

export interface AlterContext {
  readonly cast: CastContext
  readonly now: DateTime
  readonly context: EvalContext
  /** Of the table. */
  readonly database: string
}

/** Applies a clause; undefined where it changes nothing (IF EXISTS, IF NOT EXISTS). RENAME TO is not one of these. */
export function applySpec(spec: AlterSpec, draft: Draft, context: AlterContext): AlterStep | undefined {
  const { info } = draft
  switch (spec.kind) {
    case 'addColumn':
      return addColumn(spec, draft, context)
    case 'dropColumn':
      return dropColumn(spec.column, spec.ifExists, draft)
    case 'modifyColumn':
      return modifyColumn(spec, draft, context)
    case 'renameColumn': {
      const column = requireColumn(info, spec.oldName)
      if (findColumn(info, spec.newName) !== undefined && spec.newName.toLowerCase() !== column.name.lower)
        throw new SqlError(1060, `Duplicate column name '${spec.newName}'`)
      return { type: Action.ModifyColumn, draft: { ...draft, info: renameColumn(info, column.offset, spec.newName) } }
    }
    case 'setDefault':
      return setDefault(spec, draft, context)
    case 'addIndex':
      return addKey(spec, draft)
    case 'dropIndex':
      return dropIndex(spec.name, spec.ifExists, draft)
    case 'renameIndex':
      return renameIndex(spec.oldName, spec.newName, draft)
    case 'comment':
      return { type: Action.ModifyTableComment, draft: { ...draft, info: { ...info, comment: spec.comment } } }
    case 'autoIncrement':
      return { type: Action.RebaseAutoId, draft }
    case 'indexVisibility': {
      const found = info.indexes.find(({ name }) => name.lower === spec.name.toLowerCase())
      if (found === undefined)
        throw new SqlError(1176, `Key '${spec.name}' doesn't exist in table '${info.name.original}'`)
      if (found.primary && spec.invisible) throw new SqlError(3522, 'A primary key index cannot be invisible')
      const indexes = info.indexes.map((one) => (one === found ? { ...one, invisible: spec.invisible } : one))
      return { type: Action.AlterIndexVisibility, draft: { ...draft, info: { ...info, indexes } } }
    }
    case 'charset':
      return changeCharset(spec, draft)
    case 'options':
      return changeOptions(spec.options, draft)
    case 'removeTtl':
      if ((draft.stored['ttl_info'] ?? null) === null) return undefined
      return { type: Action.RemoveTtl, draft: { ...draft, stored: { ...draft.stored, ttl_info: null } } }
    case 'addForeignKey': {
      const stored = withForeignKey(draft.stored, spec.key, info, context.database)
      return { type: Action.AddForeignKey, draft: { ...draft, stored } }
    }
    case 'dropForeignKey':
      return dropForeignKey(spec.name, draft)
    case 'renameTable':
      throw unsupported('RENAME TO together with other changes')
    default:
      throw new SqlError(8200, `Unsupported multi schema change for ${spec.kind}`)
  }
}

/** New default charset of a table; CONVERT TO changes its columns too. Errors 8200 where rows would have to be rewritten. */
function changeCharset(spec: Extract<AlterSpec, { kind: 'charset' }>, draft: Draft): AlterStep {
  const { info } = draft
  const collation = resolveCollation(spec.charset, spec.collate, findCollation(info.collate))
  if (info.charset !== collation.charset && !isCharsetWidened(info.charset, collation.charset))
    throw new SqlError(8200, `Unsupported converting charset from ${info.charset} to ${collation.charset}`)
  const columns = info.columns.map((column): ColumnInfo => {
    if (!spec.convert || !isTextType(column.type)) return column
    const after = { ...column, type: { ...column.type, charset: collation.charset, collate: collation.name } }
    if (needsReorganization(column.type, after.type) !== undefined)
      throw new SqlError(
        8200,
        `Unsupported converting collation of column '${column.name.original}' from ${column.type.collate} to ${collation.name}`,
      )
    return after
  })
  return {
    type: Action.ModifyTableCharset,
    rawArgs: { to_charset: collation.charset, to_collate: collation.name, needs_overwrite_cols: spec.convert },
    draft: { ...draft, info: { ...info, charset: collation.charset, collate: collation.name, columns } },
  }
}

function changeOptions(options: Partial<TableOptions>, draft: Draft): AlterStep {
  const stored = { ...draft.stored, ...optionKeys(options, draft.info, draft.stored) }
  const type =
    options.ttl !== undefined || options.ttlEnable !== undefined || options.ttlJobInterval !== undefined
      ? Action.AlterTtl
      : options.shardRowIdBits !== undefined
        ? Action.ShardRowId
        : options.placement !== undefined
          ? Action.TablePlacement
          : options.autoIdCache !== undefined
            ? Action.ModifyAutoIdCache
            : Action.RebaseAutoRandom
  if (options.autoRandomBase === undefined) return { type, draft: { ...draft, stored } }
  return { type, draft: { ...draft, stored: { ...stored, auto_rand_id: options.autoRandomBase } } }
}

function dropForeignKey(name: string, draft: Draft): AlterStep {
  const keys = listOf(draft.stored['fk_info'])
  const rest = keys.filter((key) => nameOf(objectOf(key)['fk_name']).lower !== name.toLowerCase())
  if (rest.length === keys.length) throw new SqlError(1091, `Can't DROP '${name}'; check that column/key exists`)
  return { type: Action.DropForeignKey, draft: { ...draft, stored: { ...draft.stored, fk_info: rest } } }
}

function requireColumn(info: TableInfo, name: string): ColumnInfo {
  const column = findColumn(info, name)
  if (column === undefined) throw new SqlError(1054, `Unknown column '${name}' in '${info.name.original}'`)
  return column
}

function addColumn(
  spec: Extract<AlterSpec, { kind: 'addColumn' }>,
  draft: Draft,
  { cast, now, context }: AlterContext,
): AlterStep | undefined {
  const { info } = draft
  const { column: node } = spec
  if (findColumn(info, node.name) !== undefined) {
    if (spec.ifNotExists) return undefined
    throw new SqlError(1060, `Duplicate column name '${node.name}'`)
  }
  if (node.primary || node.unique || node.autoIncrement)
    throw new SqlError(
      8200,
      `unsupported add column '${node.name}' constraint ${node.primary ? 'PRIMARY KEY' : node.unique ? 'UNIQUE KEY' : 'AUTO_INCREMENT'} when altering '${info.name.original}'`,
    )
  const built = buildColumn(node, info.maxColumnId + 1, info.columns.length, findCollation(info.collate), cast)
  if (node.generated?.stored === true)
    throw new SqlError(
      3106,
      `'Adding generated stored column through ALTER TABLE' is not supported for generated columns.`,
    )
  if (built.defaultIsExpr && /^(rand|uuid)\(/.test(String(built.defaultValue)))
    throw new SqlError(
      1674,
      'Statement is unsafe because it uses a system function that may return a different value on the replica',
    )
  const origin: Partial<ColumnInfo> = built.generatedExpr === '' ? originDefault(built, now, context) : {}
  const column = { ...built, ...origin }
  checkGenerated([...info.columns, column])
  const appended = { ...info, maxColumnId: column.id, columns: [...info.columns, column] }
  return { type: Action.AddColumn, draft: { ...draft, info: moveColumn(appended, column.offset, spec.position) } }
}

/** Puts a column elsewhere in the order; indexes follow. */
function moveColumn(info: TableInfo, from: number, position: ColumnPosition): TableInfo {
  const moving = info.columns[from]
  if (moving === undefined || position.kind === 'last') return info
  const others = info.columns.filter((column) => column !== moving)
  const after =
    position.kind === 'after' ? others.indexOf(requireColumn({ ...info, columns: others }, position.column)) : -1
  const columns = [...others.slice(0, after + 1), moving, ...others.slice(after + 1)]
  return withColumns(info, columns)
}

/** The same table with its columns in another order, or fewer; offsets and indexes are put right. */
function withColumns(info: TableInfo, columns: readonly ColumnInfo[]): TableInfo {
  const offsets = new Map(columns.map((column, offset) => [column.id, offset]))
  const offsetAfter = (before: number): number => offsets.get(info.columns[before]?.id ?? -1) ?? -1
  return {
    ...info,
    columns: columns.map((column, offset) => ({ ...column, offset })),
    indexes: info.indexes.map((index) => ({
      ...index,
      columns: index.columns.map((part) => ({ ...part, offset: offsetAfter(part.offset) })),
    })),
  }
}

function dropColumn(name: string, ifExists: boolean, draft: Draft): AlterStep | undefined {
  const { info } = draft
  const column = findColumn(info, name)
  if (column === undefined) {
    if (ifExists) return undefined
    throw new SqlError(1091, `Can't DROP '${name}'; check that column/key exists`)
  }
  if (info.columns.length === 1)
    throw new SqlError(1090, `can't drop only column ${name} in table ${info.name.original}`)
  if (info.pkIsHandle && (column.type.flag & FieldFlag.PriKey) !== 0)
    throw new SqlError(8200, `Unsupported drop integer primary key`)
  const dependent = info.columns.find(({ generatedExpr }) => generatedExpr.includes(`\`${column.name.original}\``))
  if (dependent !== undefined)
    throw new SqlError(3108, `Column '${column.name.original}' has a generated column dependency.`)
  const covering = info.indexes.filter((index) => index.columns.some(({ offset }) => offset === column.offset))
  const composite = covering.find((index) => index.columns.length > 1 || index.primary)
  if (composite !== undefined)
    throw new SqlError(8200, `can't drop column ${name} with composite index covered or Primary Key covered now`)
  const remaining = { ...info, indexes: info.indexes.filter((index) => !covering.includes(index)) }
  const dropped = withColumns(
    remaining,
    info.columns.filter((one) => one !== column),
  )
  return { type: Action.DropColumn, draft: { ...draft, info: setKeyFlags(dropped) } }
}

function renameColumn(info: TableInfo, at: number, newName: string): TableInfo {
  const name = ciName(newName)
  return {
    ...info,
    columns: info.columns.map((column) => (column.offset === at ? { ...column, name } : column)),
    indexes: info.indexes.map((index) => ({
      ...index,
      columns: index.columns.map((part) => (part.offset === at ? { ...part, name } : part)),
    })),
  }
}

function modifyColumn(
  spec: Extract<AlterSpec, { kind: 'modifyColumn' }>,
  draft: Draft,
  { cast }: AlterContext,
): AlterStep {
  const { info } = draft
  const before = requireColumn(info, spec.oldName)
  const { column: node } = spec
  const isRenamed = node.name.toLowerCase() !== before.name.lower
  if (isRenamed && findColumn(info, node.name) !== undefined)
    throw new SqlError(1060, `Duplicate column name '${node.name}'`)
  if (node.primary || node.unique)
    throw new SqlError(8200, 'Unsupported modify column: a key cannot be added here, use ADD INDEX')
  const built = buildColumn(withoutKeys(node), before.id, before.offset, findCollation(info.collate), cast)
  const keys = FieldFlag.PriKey | FieldFlag.UniqueKey | FieldFlag.MultipleKey
  const isKey = (before.type.flag & FieldFlag.PriKey) !== 0
  if (isKey && node.nullable === true)
    throw new SqlError(
      1171,
      'All parts of a PRIMARY KEY must be NOT NULL; if you need NULL in a key, use UNIQUE instead',
    )
  const missing = isKey && built.defaultValue === null && !node.autoIncrement ? FieldFlag.NoDefaultValue : 0
  const flag = built.type.flag | (before.type.flag & keys) | (isKey ? FieldFlag.NotNull | missing : 0)
  if ((before.type.flag & FieldFlag.AutoIncrement) === 0 && node.autoIncrement)
    throw new SqlError(8200, "Unsupported modify column: can't set auto_increment")
  const column: ColumnInfo = {
    ...built,
    type: { ...built.type, flag },
    originDefault: before.originDefault,
    originDefaultBit: before.originDefaultBit,
  }
  if (
    (before.generatedExpr === '') !== (column.generatedExpr === '') ||
    before.generatedStored !== column.generatedStored
  )
    throw new SqlError(3106, `'Changing the STORED status' is not supported for generated columns.`)
  const becomesNotNull = (before.type.flag & FieldFlag.NotNull) === 0 && (flag & FieldFlag.NotNull) !== 0
  const reason =
    column.generatedExpr !== '' && !column.generatedStored ? undefined : needsReorganization(before.type, column.type)
  const placed = (info: TableInfo): TableInfo => {
    const renamed =
      isRenamed || node.name !== before.name.original ? renameColumn(info, before.offset, node.name) : info
    return spec.position === undefined ? renamed : moveColumn(renamed, before.offset, spec.position)
  }
  if (reason === undefined) {
    const replaced = { ...info, columns: info.columns.map((one) => (one === before ? column : one)) }
    return {
      type: Action.ModifyColumn,
      draft: { ...draft, info: setKeyFlags(placed(replaced)) },
      ...(becomesNotNull ? { mustNotBeNull: before.offset } : {}),
    }
  }
  return reorganizeColumn(before, column, draft, { cast, placed, reason })
}

/** Gives the column a new id and its values anew, as TiDB does; indexes with it are built again under new ids. */
function reorganizeColumn(
  before: ColumnInfo,
  after: ColumnInfo,
  draft: Draft,
  how: { readonly cast: CastContext; readonly placed: (info: TableInfo) => TableInfo; readonly reason: string },
): AlterStep {
  const { info } = draft
  const refused = (text: string): SqlError =>
    new SqlError(
      8200,
      `Unsupported modify column '${before.name.original}' from ${typeText(before.type)} to ${typeText(after.type)}: ${text}`,
    )
  if ((before.type.flag & FieldFlag.PriKey) !== 0 && (info.pkIsHandle || info.isCommonHandle))
    throw refused('this column has primary key flag')
  if (info.columns.some(({ generatedExpr }) => generatedExpr.includes(`\`${before.name.original}\``)))
    throw new SqlError(3108, `Column '${before.name.original}' has a generated column dependency.`)
  if (after.generatedExpr !== '') throw refused('it is generated')
  const column: ColumnInfo = { ...after, id: info.maxColumnId + 1, originDefault: null, originDefaultBit: null }
  let { maxIndexId } = draft
  const indexes = info.indexes.map((index) =>
    index.columns.some(({ offset }) => offset === before.offset) ? { ...index, id: ++maxIndexId } : index,
  )
  const changed = {
    ...info,
    maxColumnId: column.id,
    indexes,
    columns: info.columns.map((one) => (one === before ? column : one)),
  }
  const isNotNull = (column.type.flag & FieldFlag.NotNull) !== 0
  return {
    type: Action.ModifyColumn,
    draft: { ...draft, info: setKeyFlags(how.placed(changed)), maxIndexId },
    newIndexes: indexes.filter((index, i) => index !== info.indexes[i]),
    rewrite: {
      before: info,
      column,
      change(row) {
        const value = row[before.offset] ?? null
        if (value === null && isNotNull)
          throw new SqlError(1265, `Data truncated for column '${after.name.original}' at row 1`)
        return castToColumn(value, column.type, { column: after.name.original, row: 1 }, how.cast)
      },
    },
  }
}

const withoutKeys = (node: ColumnNode): ColumnNode => ({ ...node, primary: false, unique: false })

function setDefault(spec: Extract<AlterSpec, { kind: 'setDefault' }>, draft: Draft, { cast }: AlterContext): AlterStep {
  const { info } = draft
  const before = requireColumn(info, spec.column)
  const isNotNull = (before.type.flag & FieldFlag.NotNull) !== 0
  const flag =
    spec.value === undefined && isNotNull
      ? before.type.flag | FieldFlag.NoDefaultValue
      : before.type.flag & ~FieldFlag.NoDefaultValue
  const stored =
    spec.value === undefined
      ? { defaultValue: null, defaultBit: null }
      : buildDefault(spec.column, spec.value, before.type, cast)
  const column = { ...before, ...stored, type: { ...before.type, flag } }
  return {
    type: Action.SetDefaultValue,
    draft: { ...draft, info: { ...info, columns: info.columns.map((one) => (one === before ? column : one)) } },
  }
}

function addKey(spec: Extract<AlterSpec, { kind: 'addIndex' }>, draft: Draft): AlterStep | undefined {
  const { info } = draft
  const isPrimary = spec.index.kind === 'primary'
  if (spec.ifNotExists && info.indexes.some(({ name }) => name.lower === spec.index.name.toLowerCase()))
    return undefined
  if (isPrimary && (info.pkIsHandle || info.indexes.some((index) => index.primary)))
    throw new SqlError(1068, 'Multiple primary key defined')
  if (isPrimary && spec.index.clustered === true)
    throw new SqlError(
      8200,
      'Adding clustered primary key is not supported. Please consider adding NONCLUSTERED primary key instead',
    )
  const id = draft.maxIndexId + 1
  const indexed = addIndex(info, spec.index, id)
  checkPartitionKeys(indexed, draft.stored)
  const newIndex = indexed.indexes.find((index) => index.id === id)
  if (newIndex === undefined) throw new RangeError('an index that was added is not there')
  const nullable = isPrimary
    ? newIndex.columns.find(({ offset }) => ((info.columns[offset]?.type.flag ?? 0) & FieldFlag.NotNull) === 0)
    : undefined
  return {
    type: isPrimary ? Action.AddPrimaryKey : Action.AddIndex,
    draft: { ...draft, info: setKeyFlags(indexed), maxIndexId: id },
    newIndexes: [newIndex],
    ...(nullable === undefined ? {} : { mustNotBeNull: nullable.offset }),
  }
}

function dropIndex(name: string, ifExists: boolean, draft: Draft): AlterStep | undefined {
  const { info } = draft
  const index = info.indexes.find((one) => one.name.lower === name.toLowerCase())
  if (info.pkIsHandle && name.toUpperCase() === 'PRIMARY')
    throw new SqlError(8200, 'Unsupported drop primary key when the table is using clustered index')
  if (index === undefined) {
    if (ifExists) return undefined
    throw new SqlError(1091, `Can't DROP '${name}'; check that column/key exists`)
  }
  if (index.primary && info.isCommonHandle)
    throw new SqlError(8200, 'Unsupported drop primary key when the table is using clustered index')
  const first = info.columns[index.columns[0]?.offset ?? -1]
  const isNeeded = first !== undefined && (first.type.flag & FieldFlag.AutoIncrement) !== 0 && !info.pkIsHandle
  const hasOther = info.indexes.some((one) => one !== index && one.columns[0]?.offset === first?.offset)
  if (isNeeded && !hasOther)
    throw new SqlError(
      1075,
      'Incorrect table definition; there can be only one auto column and it must be defined as a key',
    )
  const hidden = new Set(
    index.columns.map(({ offset }) => info.columns[offset]).filter((column) => column?.hidden === true),
  )
  const remaining = withColumns(
    { ...info, indexes: info.indexes.filter((one) => one !== index) },
    info.columns.filter((column) => !hidden.has(column)),
  )
  return {
    type: index.primary ? Action.DropPrimaryKey : Action.DropIndex,
    draft: { ...draft, info: setKeyFlags(remaining) },
  }
}

function renameIndex(oldName: string, newName: string, draft: Draft): AlterStep {
  const { info } = draft
  const index = info.indexes.find((one) => one.name.lower === oldName.toLowerCase())
  if (index === undefined) throw new SqlError(1176, `Key '${oldName}' doesn't exist in table '${info.name.original}'`)
  if (info.indexes.some((one) => one !== index && one.name.lower === newName.toLowerCase()))
    throw new SqlError(1061, `Duplicate key name '${newName}'`)
  const indexes = info.indexes.map((one) => (one === index ? { ...one, name: ciName(newName) } : one))
  return { type: Action.RenameIndex, draft: { ...draft, info: { ...info, indexes } } }
}
