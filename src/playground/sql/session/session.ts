import { randomInt } from 'node:crypto'

import { physicalMs, Ts, tsOfMs } from '../../../tidb/ts.ts'
import type { Table } from '../catalog/schema.ts'
import { shardedId } from '../catalog/row-ids.ts'
import { findDatabase, findTable } from '../catalog/schema.ts'
import { runDdl } from '../ddl/execute.ts'
import { runInsert } from '../dml/insert.ts'
import type { WriteResult, WriteScope } from '../dml/insert.ts'
import { runDelete, runUpdate } from '../dml/modify.ts'
import { runSelect } from '../dml/select.ts'
import type { QueryResult, ResultColumn } from '../dml/select.ts'
import { lockRows } from '../dml/lock-rows.ts'
import { SCHEMA_CHANGED, SqlError, TXN_CONFLICT, unsupported } from '../error.ts'
import { compile } from '../expression/compile.ts'
import type { EvalContext } from '../expression/context.ts'
import type {
  DdlStatement,
  DmlStatement,
  ParsedStatement,
  SelectStatement,
  SetItem,
  Statement,
  TableName,
  VariableScope,
} from '../parser/ast.ts'
import { parseQuery } from '../parser/parser.ts'
import { Transaction } from '../txn/transaction.ts'
import type { CastContext } from '../value/cast.ts'
import { fromMicros, parseDateTimeText, toMicros } from '../value/time.ts'
import type { DateTime } from '../value/time.ts'
import { openTimeZone, timestampFromUtc, timestampToUtc } from '../value/time-zone.ts'
import type { TimeZone } from '../value/time-zone.ts'
import { toText } from '../value/value.ts'
import type { Row, Value } from '../value/value.ts'
import type { Engine } from './engine.ts'
import { virtualTable } from './information-schema.ts'
import { describeTable, runShow } from './show.ts'
import type { ShowScope } from './show.ts'
import { sqlModeBits, Variables } from './variables.ts'

/** What a statement gives its client. */
export type StatementResult =
  | { readonly kind: 'ok'; readonly affectedRows: bigint; readonly insertId: bigint; readonly info: string }
  | { readonly kind: 'rows'; readonly columns: readonly ResultColumn[]; readonly rows: readonly Row[] }

export interface Warning {
  readonly level: 'Warning' | 'Note' | 'Error'
  readonly errno: number
  readonly message: string
}

const OK: StatementResult = { kind: 'ok', affectedRows: 0n, insertId: 0n, info: '' }
const MAX_WARNINGS = 64
/** How often a statement that is its own transaction is run again after a conflict. */
const RETRIES = 30

export interface SessionOptions {
  readonly engine: Engine
  readonly globals: Variables
  readonly connectionId: number
  readonly user: string
  /** CLIENT_FOUND_ROWS */
  readonly foundRows: boolean
}

/** One client's conversation: its variables, its chosen database and its transaction. */
export class Session {
  readonly #options: SessionOptions
  readonly variables: Variables
  readonly #userVariables = new Map<string, Value>()
  readonly #prepared = new Map<string, ParsedStatement>()
  database = ''
  warnings: Warning[] = []
  #txn: Transaction | undefined
  /** True between BEGIN and its end, whether a timestamp was taken or not. */
  #explicit = false
  #readOnly = false
  /** What tidb_snapshot reads from. */
  #snapshot: Transaction | undefined
  #lastInsertId = 0n
  #rowCount = 0n
  #foundRows = 0n
  #zone: TimeZone = openTimeZone('SYSTEM')

  constructor(options: SessionOptions) {
    this.#options = options
    this.variables = new Variables(options.globals)
    this.#zone = openTimeZone(this.variables.get('time_zone'))
  }

  get inTransaction(): boolean {
    return this.#explicit || this.#txn !== undefined
  }

  get autocommit(): boolean {
    return this.variables.isOn('autocommit')
  }

  /** `sql` has one character per byte. */
  parse(sql: string): ParsedStatement[] {
    const modes = this.variables.get('sql_mode').split(',')
    return parseQuery(sql, {
      ansiQuotes: modes.includes('ANSI_QUOTES'),
      noBackslashEscapes: modes.includes('NO_BACKSLASH_ESCAPES'),
    })
  }

  async use(name: string, signal: AbortSignal): Promise<void> {
    if (name.toLowerCase() === 'information_schema') {
      this.database = 'information_schema'
      return
    }
    const schema = await this.#options.engine.schemaOf(await this.#options.engine.begin(signal), signal)
    this.database = findDatabase(schema, name).info.name.original
  }

  /** Ends the session: an open transaction is rolled back. */
  end(): void {
    this.#rollback()
  }

  /** Back to the state of a new connection (COM_RESET_CONNECTION). */
  reset(): Session {
    this.end()
    return new Session(this.#options)
  }

  async execute(parsed: ParsedStatement, parameters: readonly Value[], signal: AbortSignal): Promise<StatementResult> {
    if (parameters.length < parsed.parameters) throw new SqlError(1210, 'Incorrect arguments to EXECUTE')
    const { statement } = parsed
    if (!(statement.kind === 'show' && (statement.what === 'warnings' || statement.what === 'errors')))
      this.warnings = []
    try {
      const result = await this.#dispatch(statement, parsed, parameters, signal)
      this.#rowCount = result.kind === 'ok' ? result.affectedRows : -1n
      if (result.kind === 'rows') this.#foundRows = BigInt(result.rows.length)
      return result
    } catch (error) {
      if (error instanceof SqlError)
        this.warnings = [...this.warnings, { level: 'Error', errno: error.errno, message: error.message }]
      this.#rowCount = -1n
      throw error
    }
  }

  async #dispatch(
    statement: Statement,
    parsed: ParsedStatement,
    parameters: readonly Value[],
    signal: AbortSignal,
  ): Promise<StatementResult> {
    switch (statement.kind) {
      case 'select':
        return this.#runRead(statement, parameters, signal)
      case 'insert':
      case 'update':
      case 'delete':
        return this.#runWrite(statement, parameters, signal)
      case 'createDatabase':
      case 'alterDatabase':
      case 'dropDatabase':
      case 'createView':
      case 'dropView':
      case 'createSequence':
      case 'alterSequence':
      case 'dropSequence':
      case 'recoverTable':
      case 'createTable':
      case 'dropTable':
      case 'truncateTable':
      case 'renameTable':
      case 'alterTable':
        return this.#runDdl(statement, parsed, signal)
      case 'show':
        return { kind: 'rows', ...(await runShow(statement, this.#showScope(parameters, signal))) }
      case 'describe':
        return {
          kind: 'rows',
          ...(await describeTable(statement.table, statement.column, this.#showScope(parameters, signal))),
        }
      case 'set':
        for (const item of statement.items) await this.#set(item, parameters, signal)
        return OK
      case 'begin':
        await this.#commit(signal)
        await this.#transaction(signal)
        this.#explicit = true
        this.#readOnly = statement.readOnly
        return OK
      case 'commit':
        await this.#commit(signal)
        return OK
      case 'rollback':
        this.#rollback()
        return OK
      case 'use':
        await this.use(statement.schema, signal)
        return OK
      case 'prepare':
        return this.#prepare(
          statement.name,
          compile(statement.from, { scope: [], context: this.#context([], Date.now()) }).evaluate([]),
        )
      case 'execute':
        return this.#executePrepared(statement.name, statement.using, signal)
      case 'deallocate':
        if (!this.#prepared.delete(statement.name.toLowerCase()))
          throw new SqlError(1243, `Unknown prepared statement handler (${statement.name}) given to DEALLOCATE PREPARE`)
        return OK
      case 'nothing':
        return OK
    }
  }

  #checkPresent(): void {
    if (this.#snapshot !== undefined)
      throw new SqlError(1105, "can not execute write statement when 'tidb_snapshot' is set")
  }

  #prepare(name: string, text: Value): StatementResult {
    const [parsed, ...more] = this.parse(Buffer.from(text === null ? '' : toText(text), 'utf8').toString('latin1'))
    if (parsed === undefined || more.length > 0)
      throw new SqlError(1064, 'You have an error in your SQL syntax: one statement is prepared at a time')
    this.#prepared.set(name.toLowerCase(), parsed)
    return OK
  }

  async #executePrepared(name: string, using: readonly string[], signal: AbortSignal): Promise<StatementResult> {
    const parsed = this.#prepared.get(name.toLowerCase())
    if (parsed === undefined) throw new SqlError(1243, `Unknown prepared statement handler (${name}) given to EXECUTE`)
    const parameters = using.map((variable) => this.#userVariables.get(variable) ?? null)
    return this.execute(parsed, parameters, signal)
  }

  async #runRead(select: SelectStatement, parameters: readonly Value[], signal: AbortSignal): Promise<StatementResult> {
    const started = this.#txn !== undefined
    const scope = this.#scope(parameters, signal)
    try {
      const result: QueryResult = await runSelect(select, scope)
      if (select.forUpdate && this.inTransaction) await this.#lockRead(select, scope)
      return { kind: 'rows', ...result }
    } finally {
      if (!started && !this.#keepsTransaction) this.#rollback()
    }
  }

  /** FOR UPDATE inside a transaction: commit fails when a row that was read is written meanwhile. */
  async #lockRead(select: SelectStatement, scope: WriteScope): Promise<void> {
    if (select.from?.kind !== 'table') throw unsupported('FOR UPDATE of joined tables')
    await lockRows(select.from, select.where, scope)
  }

  get #keepsTransaction(): boolean {
    return this.#explicit || !this.autocommit
  }

  async #runWrite(
    statement: DmlStatement,
    parameters: readonly Value[],
    signal: AbortSignal,
  ): Promise<StatementResult> {
    this.#checkPresent()
    if (this.#readOnly) throw new SqlError(1792, 'Cannot execute statement in a READ ONLY transaction.')
    if (this.#keepsTransaction) return this.#writeInTransaction(statement, parameters, signal)
    for (let attempt = 1; ; attempt++) {
      this.warnings = []
      try {
        const result = await runWrite(statement, this.#scope(parameters, signal, true))
        await this.#commit(signal)
        return this.#written(result)
      } catch (error) {
        this.#rollback()
        const isRetryable =
          error instanceof SqlError && (error.errno === TXN_CONFLICT || error.errno === SCHEMA_CHANGED)
        if (!isRetryable || attempt >= RETRIES) throw error
        await this.#options.engine.clock.sleep(randomInt(1, 2 + attempt * 4), signal)
      }
    }
  }

  async #writeInTransaction(
    statement: DmlStatement,
    parameters: readonly Value[],
    signal: AbortSignal,
  ): Promise<StatementResult> {
    const txn = await this.#transaction(signal)
    txn.beginStatement()
    try {
      return this.#written(await runWrite(statement, this.#scope(parameters, signal, true)))
    } catch (error) {
      txn.rollbackStatement()
      throw error
    }
  }

  #written({ affectedRows, insertId, info }: WriteResult): StatementResult {
    if (insertId !== 0n) this.#lastInsertId = insertId
    return { kind: 'ok', affectedRows: BigInt(affectedRows), insertId, info }
  }

  async #runDdl(statement: DdlStatement, parsed: ParsedStatement, signal: AbortSignal): Promise<StatementResult> {
    this.#checkPresent()
    await this.#commit(signal)
    const context = this.#context([], Date.now())
    await runDdl(statement, {
      engine: this.#options.engine,
      signal,
      query: parsed.text,
      sqlMode: sqlModeBits(this.variables.get('sql_mode')),
      database: this.database,
      context,
      variables: this.variables,
      warn: (errno, message) => this.#warn('Note', errno, message),
    })
    if (statement.kind === 'dropDatabase' && statement.name.toLowerCase() === this.database.toLowerCase())
      this.database = ''
    return OK
  }

  async #transaction(signal: AbortSignal): Promise<Transaction> {
    this.#txn ??= await this.#options.engine.begin(signal)
    return this.#txn
  }

  async #commit(signal: AbortSignal): Promise<void> {
    const txn = this.#txn
    this.#txn = undefined
    this.#explicit = false
    this.#readOnly = false
    if (txn === undefined) return
    try {
      await txn.commit(
        {
          asyncCommit: this.variables.isOn('tidb_enable_async_commit'),
          onePhase: this.variables.isOn('tidb_enable_1pc'),
        },
        signal,
      )
    } finally {
      this.#options.engine.locks.leave(txn)
    }
  }

  #rollback(): void {
    if (this.#txn !== undefined) this.#options.engine.locks.leave(this.#txn)
    this.#txn = undefined
    this.#explicit = false
    this.#readOnly = false
  }

  #warn(level: Warning['level'], errno: number, message: string): void {
    if (this.warnings.length < MAX_WARNINGS) this.warnings.push({ level, errno, message })
  }

  #context(parameters: readonly Value[], nowMs: number): EvalContext {
    const modes = new Set(this.variables.get('sql_mode').split(','))
    const strict = modes.has('STRICT_TRANS_TABLES') || modes.has('STRICT_ALL_TABLES')
    const utc = fromMicros(BigInt(Math.trunc(nowMs * 1000)))
    const now: DateTime = { type: 'timestamp', ...timestampFromUtc(utc, this.#zone), fsp: 6, utc }
    const cast: CastContext = {
      zone: this.#zone,
      strict,
      noZeroDate: modes.has('NO_ZERO_DATE'),
      noZeroInDate: modes.has('NO_ZERO_IN_DATE'),
      invalidDates: modes.has('ALLOW_INVALID_DATES'),
      today: { year: now.year, month: now.month, day: now.day },
      warn: (errno, message) => this.#warn('Warning', errno, message),
    }
    return {
      cast,
      parameters,
      now,
      nowMs,
      database: this.database,
      user: this.#options.user,
      connectionId: this.#options.connectionId,
      lastInsertId: this.#lastInsertId,
      rowCount: this.#rowCount,
      foundRows: this.#foundRows,
      sqlMode: { divisionError: false, pipesAsConcat: modes.has('PIPES_AS_CONCAT') },
      systemVariable: (scope, name) => this.systemVariable(scope, name),
      userVariable: (name) => this.#userVariables.get(name) ?? null,
      setUserVariable: (name, value) => this.#userVariables.set(name, value),
      setLastInsertId: (value) => (this.#lastInsertId = value),
    }
  }

  systemVariable(scope: VariableScope, name: string): Value {
    switch (name) {
      case 'tidb_current_ts':
        return this.#txn?.startTs ?? 0n
      case 'last_insert_id':
      case 'identity':
        return this.#lastInsertId
      case 'warning_count':
        return BigInt(this.warnings.length)
      case 'error_count':
        return BigInt(this.warnings.filter(({ level }) => level === 'Error').length)
      default:
        return (scope === 'global' ? this.#options.globals : this.variables).value(name)
    }
  }

  #scope(parameters: readonly Value[], signal: AbortSignal, writes = false): WriteScope {
    const { engine } = this.#options
    const { variables } = this
    const base = this.#context(parameters, Date.now())
    const divisionError = writes && base.cast.strict && variables.get('sql_mode').includes('ERROR_FOR_DIVISION_BY_ZERO')
    return {
      context: { ...base, sqlMode: { ...base.sqlMode, divisionError } },
      signal,
      autocommit: !this.#keepsTransaction,
      foundRows: this.#options.foundRows,
      autoValueOnZero: !variables.get('sql_mode').includes('NO_AUTO_VALUE_ON_ZERO'),
      explicitAutoRandom: variables.isOn('allow_auto_random_explicit_insert'),
      transaction: async () => this.#snapshot ?? (await this.#transaction(signal)),
      table: (name) => this.#table(name, signal),
      virtualTable: (name) =>
        virtualTable(
          this.#qualified(name),
          async () => engine.schemaOf(this.#snapshot ?? (await engine.begin(signal)), signal),
          variables,
          { engine, signal },
        ),
      nextAutoId: async (table) => {
        const id = await engine.autoIds.next(table, signal)
        const sharded = shardedId(table, id, (await this.#transaction(signal)).startTs)
        if (sharded < 0n) throw new SqlError(1467, 'Failed to read auto-increment value from storage engine')
        return sharded
      },
      rebaseAutoId: (table, id) => engine.autoIds.rebase(table, id, signal),
    }
  }

  #qualified(name: TableName): TableName {
    const schema = name.schema || this.database
    if (schema === '') throw new SqlError(1046, 'No database selected')
    return { schema, name: name.name }
  }

  /** Looks the table up in the transaction's schema and keeps DDL off it until the transaction ends. */
  async #table(name: TableName, signal: AbortSignal): Promise<Table> {
    const { engine } = this.#options
    if (this.#snapshot !== undefined)
      return findTable(await engine.schemaOf(this.#snapshot, signal), this.#qualified(name))
    const txn = await this.#transaction(signal)
    const schema = await engine.schemaOf(txn, signal)
    const table = findTable(schema, this.#qualified(name))
    await engine.locks.enter(txn, table.info.id, signal)
    const latest = engine.latest
    if (latest !== undefined && latest.version > schema.version) {
      const current = latest.databases.get(table.database.name.lower)?.tables.get(table.info.name.lower)
      if (current?.info.id !== table.info.id || current.info.updateTs !== table.info.updateTs)
        throw new SqlError(
          SCHEMA_CHANGED,
          'Information schema is changed during the execution of the statement(for example, table definition may be updated by other DDL ran in parallel). [try again later]',
        )
    }
    return table
  }

  #showScope(parameters: readonly Value[], signal: AbortSignal): ShowScope {
    const { engine, globals } = this.#options
    return {
      context: this.#context(parameters, Date.now()),
      database: this.database,
      warnings: this.warnings,
      variables: (scope) => (scope === 'global' ? globals : this.variables),
      schema: async () => engine.schemaOf(this.#snapshot ?? this.#txn ?? (await engine.begin(signal)), signal),
      nextAutoId: (table) => engine.autoIds.peek(table, signal),
      currentTime: async () => physicalMs(await engine.store.timestamp(signal)),
      connectionId: this.#options.connectionId,
      user: this.#options.user,
    }
  }

  async #set(item: SetItem, parameters: readonly Value[], signal: AbortSignal): Promise<void> {
    switch (item.kind) {
      case 'names':
        return this.#setNames(item.charset, item.collation)
      case 'userVariable': {
        const scope = this.#scope(parameters, signal)
        const { rows } = await runSelect(selectOf(item.value), scope)
        this.#userVariables.set(item.name, rows[0]?.[0] ?? null)
        return
      }
      case 'isolation':
        if (item.level !== '') this.variables.set('transaction_isolation', item.level)
        if (item.readOnly !== undefined) this.variables.set('transaction_read_only', item.readOnly ? 1n : 0n)
        return
      case 'variable':
        await this.#setVariable(item, parameters, signal)
    }
  }

  /** `tidb_snapshot` is a timestamp of PD or a moment in the session's zone; '' = the present. */
  #snapshotAt(value: Value): Transaction | undefined {
    const text = value === null ? '' : toText(value)
    if (text === '') return undefined
    const { engine } = this.#options
    if (/^\d{15,20}$/.test(text)) return new Transaction(engine.store, Ts(BigInt(text)))
    const wall = parseDateTimeText(text)
    const moment = wall === undefined ? undefined : timestampToUtc(wall, this.#zone)
    if (moment === undefined) throw new SqlError(1292, `Incorrect datetime value: '${text}'`)
    return new Transaction(engine.store, tsOfMs(Number(toMicros(moment) / 1000n)))
  }

  async #setVariable(
    item: Extract<SetItem, { kind: 'variable' }>,
    parameters: readonly Value[],
    signal: AbortSignal,
  ): Promise<void> {
    const target = item.scope === 'global' ? this.#options.globals : this.variables
    const value =
      item.value === undefined
        ? undefined
        : compile(item.value, { scope: [], context: this.#context(parameters, Date.now()) }).evaluate([])
    if (item.name === 'last_insert_id' || item.name === 'insert_id') throw unsupported(`SET ${item.name}`)
    if (item.name === 'tidb_snapshot') this.#snapshot = this.#snapshotAt(value ?? '')
    if (item.name.startsWith('character_set_') && typeof value === 'string') checkCharset(value)
    target.set(item.name, value)
    if (item.scope === 'global') return
    if (item.name === 'time_zone') this.#zone = openTimeZone(this.variables.get('time_zone'))
    if (item.name === 'autocommit' && this.autocommit && !this.#explicit) await this.#commit(signal)
  }

  #setNames(charset: string, collation: string): void {
    checkCharset(charset)
    for (const name of ['character_set_client', 'character_set_connection', 'character_set_results'])
      this.variables.set(name, charset)
    if (collation !== '') this.variables.set('collation_connection', collation)
  }
}

/** Text is UTF-8 throughout: latin1 is treated as TiDB treats it, others would be misread. */
function checkCharset(charset: string): void {
  if (!['utf8', 'utf8mb3', 'utf8mb4', 'binary', 'latin1', 'ascii', 'default', ''].includes(charset.toLowerCase()))
    throw new SqlError(1115, `Unknown character set: '${charset}'`)
}

const selectOf = (expression: Extract<SetItem, { kind: 'userVariable' }>['value']): SelectStatement => ({
  kind: 'select',
  distinct: false,
  items: [{ kind: 'expression', expression, alias: 'v', text: 'v' }],
  from: undefined,
  where: undefined,
  groupBy: [],
  having: undefined,
  orderBy: [],
  limit: undefined,
  forUpdate: false,
  unions: [],
})

function runWrite(statement: DmlStatement, scope: WriteScope): Promise<WriteResult> {
  switch (statement.kind) {
    case 'insert':
      return runInsert(statement, scope)
    case 'update':
      return runUpdate(statement, scope)
    case 'delete':
      return runDelete(statement, scope)
  }
}
