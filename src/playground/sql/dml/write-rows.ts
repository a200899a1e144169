import { compareBytes } from '../../../tidb/key.ts'
import { primaryOffset } from '../../../tidb/table-codec.ts'
import { FieldFlag } from '../../../tidb/table-info.ts'
import { defaultOf, zeroOf } from '../catalog/column-default.ts'
import type { Table } from '../catalog/schema.ts'
import { compileGenerated, compileReader } from '../catalog/computed-columns.ts'
import { compileRouter, physicalTables } from '../catalog/partitions.ts'
import { checkReadable } from '../catalog/schema.ts'
import { accessOf } from '../catalog/table-access.ts'
import type { IndexEntry, TableAccess } from '../catalog/table-access.ts'
import { SqlError } from '../error.ts'
import type { EvalContext } from '../expression/context.ts'
import type { Transaction } from '../txn/transaction.ts'
import type { CastContext } from '../value/cast.ts'
import { castToColumn } from '../value/cast.ts'
import type { DateTime } from '../value/time.ts'
import { toText } from '../value/value.ts'
import type { Row, Value } from '../value/value.ts'
import { readRow } from './table-rows.ts'
import type { TableRow } from './table-rows.ts'

/** A row that stands in the way of a new one. */
export interface Conflict extends TableRow {
  /** Text of error 1062. */
  readonly duplicate: string
}

/** A physical table that rows are written to. */
interface Target {
  readonly access: TableAccess
  readonly read: (key: Uint8Array, value: Uint8Array) => Row
}

/** Writes rows of one table into a transaction, each to its partition, keeping indexes in step. */
export class RowWriter {
  readonly table: Table
  /** Sets the generated columns of a row, whose number is for messages. */
  readonly generate: (row: Value[], number: number) => void
  readonly #targets: readonly Target[]
  readonly #placeOf: (row: Row) => number
  readonly #txn: Transaction
  readonly #signal: AbortSignal
  /** Leaves it to the store to find that a key exists: only right when the statement commits by itself. */
  readonly #lazy: boolean

  constructor(table: Table, txn: Transaction, context: EvalContext, signal: AbortSignal, lazy = false) {
    checkReadable(table)
    this.table = table
    this.generate = compileGenerated(table.info, context) ?? (() => {})
    this.#targets = physicalTables(table.info).map((info) => ({
      access: accessOf(info),
      read: compileReader(info, context),
    }))
    this.#placeOf = compileRouter(table, context)
    this.#txn = txn
    this.#signal = signal
    this.#lazy = lazy
  }

  /** Where a row belongs; error 1526 where no partition takes it. */
  #targetOf(row: Row): Target {
    const target = this.#targets[this.#placeOf(row)]
    if (target === undefined) throw new RangeError('a table without a physical table')
    return target
  }

  /** The handle of a new row; `rowId` is used where the table has no clustered key. */
  handleOf(row: Row, rowId: bigint): Uint8Array {
    return this.#targetOf(row).access.handleOf(row, rowId)
  }

  /** Rows whose primary or unique key a new row would repeat, each once. */
  async conflicts(row: Row, handle: Uint8Array): Promise<Conflict[]> {
    const found: Conflict[] = []
    const { access, read } = this.#targetOf(row)
    const reader = { txn: this.#txn, access, read, signal: this.#signal }
    if (this.#hasKeyHandle) {
      const existing = await readRow(reader, handle)
      if (existing !== undefined) found.push({ access, handle, row: existing, duplicate: this.#primaryText(row) })
    }
    for (const entry of access.indexEntries(row, handle)) {
      if (!entry.unique) continue
      const value = await this.#txn.get(entry.key, this.#signal)
      if (value === undefined) continue
      const other = access.handleOfEntry(entry.index, entry.key, value)
      if (found.some((one) => compareBytes(one.handle, other) === 0)) continue
      const existing = await readRow(reader, other)
      if (existing !== undefined)
        found.push({ access, handle: other, row: existing, duplicate: this.#entryText(entry, row) })
    }
    return found
  }

  get #hasKeyHandle(): boolean {
    return this.table.info.pkIsHandle || this.table.info.isCommonHandle
  }

  /** Error 1062 where a key is taken. */
  async insert(row: Row, handle: Uint8Array): Promise<void> {
    const { access } = this.#targetOf(row)
    const key = access.recordKey(handle)
    const duplicate = this.#hasKeyHandle ? this.#primaryText(row) : ''
    if (this.#hasKeyHandle) await this.#checkFree(key, duplicate)
    this.#txn.insert(key, access.encode(row), duplicate)
    for (const entry of access.indexEntries(row, handle)) await this.#insertEntry(entry, row)
  }

  async #insertEntry(entry: IndexEntry, row: Row): Promise<void> {
    if (!entry.unique) return this.#txn.put(entry.key, entry.value)
    const duplicate = this.#entryText(entry, row)
    await this.#checkFree(entry.key, duplicate)
    this.#txn.insert(entry.key, entry.value, duplicate)
  }

  async #checkFree(key: Uint8Array, duplicate: string): Promise<void> {
    const taken = this.#lazy ? this.#txn.hasOwnValue(key) : (await this.#txn.get(key, this.#signal)) !== undefined
    if (taken) throw new SqlError(1062, duplicate)
  }

  #entryText({ index }: IndexEntry, row: Row): string {
    return duplicateText(
      this.table,
      index.name.original,
      index.columns.map(({ offset }) => row[offset] ?? null),
    )
  }

  #primaryText(row: Row): string {
    const primary = this.table.info.indexes.find((index) => index.primary)
    const handleOffset = primaryOffset(this.table.info)
    const offsets = handleOffset >= 0 ? [handleOffset] : (primary?.columns.map(({ offset }) => offset) ?? [])
    return duplicateText(
      this.table,
      'PRIMARY',
      offsets.map((offset) => row[offset] ?? null),
    )
  }

  remove({ access, handle, row }: TableRow): void {
    this.#txn.delete(access.recordKey(handle))
    for (const { key } of access.indexEntries(row, handle)) this.#txn.delete(key)
  }

  /** Writes only the keys that change. Error 1062 where a new key is taken. */
  async update(before: TableRow, after: Row): Promise<void> {
    const { access } = this.#targetOf(after)
    const handle = this.#hasKeyHandle ? access.handleOf(after, 0n) : before.handle
    if (compareBytes(handle, before.handle) !== 0 || access.info.id !== before.access.info.id) {
      this.remove(before)
      await this.insert(after, handle)
      return
    }
    const old = access.indexEntries(before.row, handle)
    const now = access.indexEntries(after, handle)
    for (const [i, entry] of now.entries()) {
      const previous = old[i]
      if (previous !== undefined && compareBytes(previous.key, entry.key) === 0) {
        if (compareBytes(previous.value, entry.value) !== 0) this.#txn.put(entry.key, entry.value)
        continue
      }
      if (previous !== undefined) this.#txn.delete(previous.key)
      await this.#insertEntry(entry, after)
    }
    this.#txn.put(access.recordKey(handle), access.encode(after))
  }
}

function duplicateText(table: Table, index: string, values: readonly Value[]): string {
  const shown = values.map((value) => (value === null ? 'NULL' : toText(value))).join('-')
  return `Duplicate entry '${shown}' for key '${table.info.name.original}.${index}'`
}

/** What filling a row needs. */
export interface FillContext {
  readonly cast: CastContext
  readonly now: DateTime
  /** For defaults that are expressions. */
  readonly context: EvalContext
}

/**
 * A value for a column as it will be stored. Errors: 1048 for NULL where none may be, and those of casting. In a session
 * without strict mode NULL becomes the zero value when several rows are inserted.
 */
export function assign(table: Table, offset: number, value: Value, row: number, { cast }: FillContext): Value {
  const column = table.info.columns[offset]
  if (column === undefined) throw new RangeError(`no column at offset ${offset}`)
  if (column.generatedExpr !== '')
    throw new SqlError(
      3105,
      `The value specified for generated column '${column.name.original}' in table '${table.info.name.original}' is not allowed.`,
    )
  const stored = castToColumn(value, column.type, { column: column.name.original, row }, cast)
  if (stored !== null || (column.type.flag & FieldFlag.NotNull) === 0) return stored
  const message = `Column '${column.name.original}' cannot be null`
  if (cast.strict) throw new SqlError(1048, message)
  cast.warn(1048, message)
  return zeroOf(column)
}

export function defaultFor(table: Table, offset: number, { cast, now, context }: FillContext): Value {
  const column = table.info.columns[offset]
  if (column === undefined) throw new RangeError(`no column at offset ${offset}`)
  return defaultOf(column, now, { ...context, cast })
}

/** The place of a column by name; error 1054 where there is none. */
export function offsetOf(table: Table, name: string): number {
  const lower = name.toLowerCase()
  const offset = table.info.columns.findIndex((column) => column.name.lower === lower && !column.hidden)
  if (offset < 0) throw new SqlError(1054, `Unknown column '${name}' in 'field list'`)
  return offset
}
