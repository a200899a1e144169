import { intHandle } from '../../../tidb/key.ts'
import { primaryOffset } from '../../../tidb/table-codec.ts'
import { FieldFlag } from '../../../tidb/table-info.ts'
import type { Table } from '../catalog/schema.ts'
import { checkReadable } from '../catalog/schema.ts'
import { nowFor } from '../catalog/column-default.ts'
import { isAutoRandom } from '../catalog/row-ids.ts'
import { SqlError } from '../error.ts'
import { compile } from '../expression/compile.ts'
import type { CompileOptions } from '../expression/compile.ts'
import type { Expression, InsertStatement } from '../parser/ast.ts'
import { integerRange } from '../value/cast.ts'
import type { Row, Value } from '../value/value.ts'
import { sameValue } from './modify.ts'
import { runSelect } from './select.ts'
import { scopeOf } from './source.ts'
import type { QueryScope } from './source.ts'
import { resolveAll, resolveSubqueries } from './subquery.ts'
import type { TableRow } from './table-rows.ts'
import { assign, defaultFor, offsetOf, RowWriter } from './write-rows.ts'
import type { FillContext } from './write-rows.ts'

/** What writing statements need beside reading. */
export interface WriteScope extends QueryScope {
  /** True when the statement is a transaction of its own: existing keys may be left for the store to find. */
  readonly autocommit: boolean
  /** The client wants rows found counted, not rows changed. */
  readonly foundRows: boolean
  readonly autoValueOnZero: boolean
  /** allow_auto_random_explicit_insert */
  readonly explicitAutoRandom: boolean
  nextAutoId(table: Table): Promise<bigint>
  rebaseAutoId(table: Table, id: bigint): Promise<void>
}

export interface WriteResult {
  readonly affectedRows: number
  /** First id that was generated, 0 = none. */
  readonly insertId: bigint
  readonly info: string
}

export async function runInsert(statement: InsertStatement, scope: WriteScope): Promise<WriteResult> {
  const table = await scope.table(statement.table)
  checkReadable(table)
  const insert = new Insert(statement, table, scope, await scope.transaction())
  const rows = statement.query === undefined ? undefined : (await runSelect(statement.query, scope)).rows
  return rows === undefined ? insert.runValues() : insert.runRows(rows)
}

class Insert {
  readonly #statement: InsertStatement
  readonly #table: Table
  readonly #scope: WriteScope
  readonly #writer: RowWriter
  readonly #fill: FillContext
  /** Offsets of the columns that values are given for. */
  readonly #targets: readonly number[]
  /** Of the AUTO_INCREMENT or AUTO_RANDOM column, -1 = none. */
  readonly #autoOffset: number
  readonly #isRandom: boolean
  #insertId = 0n
  #affected = 0
  #records = 0
  #duplicates = 0
  #warnings = 0

  constructor(
    statement: InsertStatement,
    table: Table,
    scope: WriteScope,
    txn: Awaited<ReturnType<WriteScope['transaction']>>,
  ) {
    this.#statement = statement
    this.#table = table
    this.#scope = scope
    const plain = !statement.replace && !statement.ignore && statement.onDuplicate.length === 0
    const { cast } = scope.context
    const counted = {
      ...cast,
      strict: cast.strict && !statement.ignore,
      warn: (errno: number, message: string) => (this.#warnings++, cast.warn(errno, message)),
    }
    this.#writer = new RowWriter(
      table,
      txn,
      { ...scope.context, cast: counted },
      scope.signal,
      plain && scope.autocommit,
    )
    this.#fill = { cast: counted, now: scope.context.now, context: scope.context }
    this.#targets =
      statement.columns === undefined
        ? table.info.columns.filter(({ hidden }) => !hidden).map(({ offset }) => offset)
        : statement.columns.map((name) => offsetOf(table, name))
    const repeated = this.#targets.find((offset, i) => this.#targets.indexOf(offset) !== i)
    if (repeated !== undefined)
      throw new SqlError(1110, `Column '${table.info.columns[repeated]?.name.original}' specified twice`)
    this.#isRandom = isAutoRandom(table)
    this.#autoOffset = this.#isRandom
      ? primaryOffset(table.info)
      : table.info.columns.findIndex(({ type }) => (type.flag & FieldFlag.AutoIncrement) !== 0)
  }

  async runValues(): Promise<WriteResult> {
    for (const [i, values] of this.#statement.rows.entries()) {
      if (values.length === 0 && this.#statement.columns === undefined) await this.#insertRow([], [], i + 1)
      else {
        if (values.length !== this.#targets.length)
          throw new SqlError(1136, `Column count doesn't match value count at row ${i + 1}`)
        await this.#insertRow(await resolveAll(values, (query) => runSelect(query, this.#scope)), this.#targets, i + 1)
      }
    }
    return this.#result()
  }

  async runRows(rows: readonly Row[]): Promise<WriteResult> {
    for (const [i, row] of rows.entries()) {
      if (row.length !== this.#targets.length)
        throw new SqlError(1136, `Column count doesn't match value count at row ${i + 1}`)
      await this.#insertRow(
        row.map((value): Expression => ({ kind: 'literal', value })),
        this.#targets,
        i + 1,
      )
    }
    return this.#result()
  }

  #result(): WriteResult {
    const info =
      this.#records > 1 || this.#statement.query !== undefined
        ? `Records: ${this.#records}  Duplicates: ${this.#duplicates}  Warnings: ${this.#warnings}`
        : ''
    return { affectedRows: this.#affected, insertId: this.#insertId, info }
  }

  async #insertRow(values: readonly Expression[], targets: readonly number[], number: number): Promise<void> {
    this.#records++
    const row = await this.#fillRow(values, targets, number)
    const hasKey = this.#table.info.pkIsHandle || this.#table.info.isCommonHandle
    const handle = this.#writer.handleOf(row, hasKey ? 0n : await this.#scope.nextAutoId(this.#table))
    const { replace, ignore, onDuplicate } = this.#statement
    if (!replace && !ignore && onDuplicate.length === 0) {
      await this.#writer.insert(row, handle)
      this.#affected++
      return
    }
    const conflicts = await this.#writer.conflicts(row, handle)
    const [first] = conflicts
    if (first === undefined) {
      await this.#writer.insert(row, handle)
      this.#affected++
    } else if (replace) await this.#replace(conflicts, row, handle)
    else if (onDuplicate.length > 0) await this.#updateDuplicate(first, row, number)
    else {
      this.#duplicates++
      this.#fill.cast.warn(1062, first.duplicate)
    }
  }

  async #replace(conflicts: readonly TableRow[], row: Row, handle: Uint8Array): Promise<void> {
    for (const conflict of conflicts) {
      this.#affected++
      // TiDB leaves a row alone that is replaced by its equal.
      if (row.every((value, i) => sameValue(value, conflict.row[i] ?? null))) return
      this.#writer.remove(conflict)
    }
    await this.#writer.insert(
      row,
      this.#table.info.pkIsHandle || this.#table.info.isCommonHandle
        ? handle
        : intHandle(await this.#scope.nextAutoId(this.#table)),
    )
    this.#duplicates += conflicts.length
    this.#affected++
  }

  async #fillRow(values: readonly Expression[], targets: readonly number[], number: number): Promise<Value[]> {
    const { columns } = this.#table.info
    const row: Value[] = columns.map(() => null)
    const given = new Set(targets)
    const options: CompileOptions = {
      scope: scopeOf(this.#table, this.#table.info.name.original),
      context: this.#scope.context,
      defaultOf: (name) => defaultFor(this.#table, offsetOf(this.#table, name), this.#fill),
    }
    for (const [i, offset] of targets.entries()) {
      const node = values[i]
      if (node === undefined) continue
      const isDefault = node.kind === 'default' && node.column === ''
      if (offset === this.#autoOffset) {
        row[offset] = await this.#autoValue(isDefault ? null : compile(node, options).evaluate(row), number)
        continue
      }
      row[offset] = isDefault
        ? this.#defaultAt(offset)
        : assign(this.#table, offset, compile(node, options).evaluate(row), number, this.#fill)
    }
    for (const { offset } of columns) {
      if (given.has(offset)) continue
      row[offset] = offset === this.#autoOffset ? await this.#autoValue(null, number) : this.#defaultAt(offset)
    }
    this.#writer.generate(row, number)
    return row
  }

  #defaultAt(offset: number): Value {
    return defaultFor(this.#table, offset, this.#fill)
  }

  /** NULL and 0 take the next number; any other moves the counter beyond itself. */
  async #autoValue(value: Value, number: number): Promise<Value> {
    const column = this.#table.info.columns[this.#autoOffset]
    const stored = value === null ? null : assign(this.#table, this.#autoOffset, value, number, this.#fill)
    if (typeof stored === 'bigint' && (stored !== 0n || !this.#scope.autoValueOnZero)) {
      if (this.#isRandom && !this.#scope.explicitAutoRandom)
        throw new SqlError(
          8216,
          'Invalid auto random: Explicit insertion on auto_random column is disabled. Try to set @@allow_auto_random_explicit_insert = true.',
        )
      if (this.#isRandom) return stored
      if (stored > 0n) await this.#scope.rebaseAutoId(this.#table, stored)
      return stored
    }
    const id = await this.#scope.nextAutoId(this.#table)
    if (column !== undefined && id > integerRange(column.type)[1] && !this.#isRandom)
      throw new SqlError(1467, 'Failed to read auto-increment value from storage engine')
    if (this.#insertId === 0n) this.#insertId = id
    return id
  }

  /** ON DUPLICATE KEY UPDATE: assignments see the row as they have changed it so far, VALUES() the row that was refused. */
  async #updateDuplicate(before: TableRow, refused: readonly Value[], number: number): Promise<void> {
    const after = [...before.row]
    const options: CompileOptions = {
      scope: scopeOf(this.#table, this.#table.info.name.original),
      context: this.#scope.context,
      inserted: (name) => refused[offsetOf(this.#table, name)] ?? null,
      defaultOf: (name) => defaultFor(this.#table, offsetOf(this.#table, name), this.#fill),
    }
    const assigned = new Set<number>()
    for (const { column, value } of this.#statement.onDuplicate) {
      const offset = offsetOf(this.#table, column)
      const node = await resolveSubqueries(value, (query) => runSelect(query, this.#scope))
      const isDefault = node.kind === 'default' && node.column === ''
      after[offset] = isDefault
        ? this.#defaultAt(offset)
        : assign(this.#table, offset, compile(node, options).evaluate(after), number, this.#fill)
      assigned.add(offset)
    }
    this.#writer.generate(after, number)
    this.#duplicates++
    if (after.every((value, i) => sameValue(value, before.row[i] ?? null))) {
      if (this.#scope.foundRows) this.#affected++
      return
    }
    for (const column of this.#table.info.columns)
      if ((column.type.flag & FieldFlag.OnUpdateNow) !== 0 && !assigned.has(column.offset))
        after[column.offset] = nowFor(column, this.#fill.now, this.#fill.cast)
    this.#writer.generate(after, number)
    await this.#writer.update(before, after)
    this.#affected += 2
  }
}
