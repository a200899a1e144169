import { ciName } from '../../../tidb/table-info-json.ts'
import { FieldFlag } from '../../../tidb/table-info.ts'
import type { ColumnInfo, IndexInfo, TableInfo } from '../../../tidb/table-info.ts'
import { buildColumn, buildDefault } from '../catalog/build-column.ts'
import { addIndex, findColumn, setKeyFlags } from '../catalog/build-table.ts'
import { originDefault } from '../catalog/column-default.ts'
import { SqlError, unsupported } from '../error.ts'
import type { AlterSpec, ColumnNode, ColumnPosition } from '../parser/ast.ts'
import type { CastContext } from '../value/cast.ts'
import { findCollation } from '../value/collation.ts'
import type { DateTime } from '../value/time.ts'
import { Action } from './job.ts'
import { checkModify } from './modify-column.ts'

/** A table under change, with the largest index id that it ever had. */
export interface Draft {
  readonly info: TableInfo
  readonly maxIndexId: number
}

/** What one clause of ALTER TABLE does. */
export interface AlterStep {
  readonly type: number
  readonly draft: Draft
  /** Filled from the rows before the change is made public. */
  readonly newIndex?: IndexInfo
  /** Rows are checked for NULL in this column (by offset before the change). */
  readonly mustNotBeNull?: number
}

export interface AlterContext {
  readonly cast: CastContext
  readonly now: DateTime
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
    case 'renameTable':
      throw unsupported('RENAME TO together with other changes')
  }
}

function requireColumn(info: TableInfo, name: string): ColumnInfo {
  const column = findColumn(info, name)
  if (column === undefined) throw new SqlError(1054, `Unknown column '${name}' in '${info.name.original}'`)
  return column
}

function addColumn(
  spec: Extract<AlterSpec, { kind: 'addColumn' }>,
  draft: Draft,
  { cast, now }: AlterContext,
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
  const column = { ...built, ...originDefault(built, now, cast) }
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
  checkModify(before, column)
  const replaced = { ...info, columns: info.columns.map((one) => (one === before ? column : one)) }
  const renamed =
    isRenamed || node.name !== before.name.original ? renameColumn(replaced, before.offset, node.name) : replaced
  const moved = spec.position === undefined ? renamed : moveColumn(renamed, before.offset, spec.position)
  const becomesNotNull = (before.type.flag & FieldFlag.NotNull) === 0 && (flag & FieldFlag.NotNull) !== 0
  return {
    type: Action.ModifyColumn,
    draft: { ...draft, info: setKeyFlags(moved) },
    ...(becomesNotNull ? { mustNotBeNull: before.offset } : {}),
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
  const newIndex = indexed.indexes.find((index) => index.id === id)
  if (newIndex === undefined) throw new RangeError('an index that was added is not there')
  const nullable = isPrimary
    ? newIndex.columns.find(({ offset }) => ((info.columns[offset]?.type.flag ?? 0) & FieldFlag.NotNull) === 0)
    : undefined
  return {
    type: isPrimary ? Action.AddPrimaryKey : Action.AddIndex,
    draft: { info: setKeyFlags(indexed), maxIndexId: id },
    newIndex,
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
  const remaining = { ...info, indexes: info.indexes.filter((one) => one !== index) }
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
