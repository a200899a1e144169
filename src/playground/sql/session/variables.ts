import { SqlError } from '../error.ts'
import { findCollation } from '../value/collation.ts'
import { openTimeZone } from '../value/time-zone.ts'
import { toText } from '../value/value.ts'
import type { Value } from '../value/value.ts'
import { SERVER_VERSION } from './server-version.ts'

const DEFAULT_SQL_MODE =
  'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION'

type Kind = 'text' | 'integer' | 'switch'

interface Variable {
  readonly kind: Kind
  readonly value: string
  /** `fixed` cannot be set; `session` exists in sessions only. */
  readonly scope: 'both' | 'session' | 'fixed'
}

const text = (value: string): Variable => ({ kind: 'text', value, scope: 'both' })
const integer = (value: number): Variable => ({ kind: 'integer', value: String(value), scope: 'both' })
const onOff = (value: boolean): Variable => ({ kind: 'switch', value: value ? 'ON' : 'OFF', scope: 'both' })
const fixed = (kind: Kind, value: string): Variable => ({ kind, value, scope: 'fixed' })

/** System variables that clients ask for or set; values are TiDB v8.5's defaults. */
const VARIABLES: Readonly<Record<string, Variable>> = {
  allow_auto_random_explicit_insert: onOff(false),
  auto_increment_increment: integer(1),
  auto_increment_offset: integer(1),
  autocommit: onOff(true),
  big_tables: onOff(false),
  character_set_client: text('utf8mb4'),
  character_set_connection: text('utf8mb4'),
  character_set_database: text('utf8mb4'),
  character_set_filesystem: text('binary'),
  character_set_results: text('utf8mb4'),
  character_set_server: text('utf8mb4'),
  character_set_system: text('utf8mb4'),
  collation_connection: text('utf8mb4_bin'),
  collation_database: text('utf8mb4_bin'),
  collation_server: text('utf8mb4_bin'),
  default_authentication_plugin: text('mysql_native_password'),
  default_storage_engine: text('InnoDB'),
  default_week_format: integer(0),
  div_precision_increment: integer(4),
  explicit_defaults_for_timestamp: onOff(true),
  foreign_key_checks: onOff(true),
  group_concat_max_len: integer(1_048_576),
  have_openssl: fixed('text', 'DISABLED'),
  have_ssl: fixed('text', 'DISABLED'),
  hostname: fixed('text', 'tidewire-playground'),
  init_connect: text(''),
  innodb_lock_wait_timeout: integer(50),
  innodb_read_only: fixed('switch', 'OFF'),
  interactive_timeout: integer(28_800),
  last_insert_id: { kind: 'integer', value: '0', scope: 'session' },
  license: fixed('text', 'Apache License 2.0'),
  lock_wait_timeout: integer(31_536_000),
  lower_case_table_names: fixed('integer', '2'),
  max_allowed_packet: integer(67_108_864),
  max_connections: integer(0),
  max_execution_time: integer(0),
  net_buffer_length: integer(16_384),
  net_read_timeout: integer(30),
  net_write_timeout: integer(60),
  optimizer_switch: text(''),
  performance_schema: fixed('switch', 'OFF'),
  port: fixed('integer', '4000'),
  protocol_version: fixed('integer', '10'),
  query_cache_size: integer(0),
  query_cache_type: text('OFF'),
  read_only: onOff(false),
  require_secure_transport: onOff(false),
  server_id: integer(0),
  session_track_gtids: text('OFF'),
  session_track_schema: onOff(true),
  session_track_system_variables: text(''),
  socket: fixed('text', ''),
  sql_auto_is_null: onOff(false),
  sql_big_selects: onOff(true),
  sql_log_bin: onOff(true),
  sql_mode: text(DEFAULT_SQL_MODE),
  sql_notes: onOff(true),
  sql_quote_show_create: onOff(true),
  sql_safe_updates: onOff(false),
  sql_select_limit: { kind: 'integer', value: '18446744073709551615', scope: 'both' },
  sql_warnings: onOff(false),
  storage_engine: text('InnoDB'),
  super_read_only: onOff(false),
  system_time_zone: fixed('text', 'UTC'),
  tidb_allow_mpp: onOff(true),
  tidb_config: fixed('text', '{}'),
  tidb_constraint_check_in_place: onOff(false),
  tidb_current_ts: fixed('integer', '0'),
  tidb_disable_txn_auto_retry: onOff(true),
  tidb_enable_1pc: onOff(true),
  tidb_enable_async_commit: onOff(true),
  tidb_enable_clustered_index: text('ON'),
  tidb_enable_fast_create_table: onOff(true),
  tidb_enable_metadata_lock: onOff(true),
  tidb_gc_life_time: text('10m0s'),
  tidb_last_txn_info: fixed('text', ''),
  tidb_retry_limit: integer(10),
  tidb_row_format_version: integer(2),
  tidb_server_memory_limit: text('80%'),
  tidb_skip_isolation_level_check: onOff(false),
  tidb_snapshot: { kind: 'text', value: '', scope: 'session' },
  tidb_txn_mode: text('pessimistic'),
  time_zone: text('SYSTEM'),
  transaction_isolation: text('REPEATABLE-READ'),
  transaction_read_only: onOff(false),
  tx_isolation: text('REPEATABLE-READ'),
  tx_read_only: onOff(false),
  unique_checks: onOff(true),
  version: fixed('text', SERVER_VERSION),
  version_comment: fixed('text', 'Tidewire playground (TiDB for demos and tests), Apache License 2.0'),
  version_compile_machine: fixed('text', process.arch),
  version_compile_os: fixed('text', process.platform),
  wait_timeout: integer(28_800),
  warning_count: fixed('integer', '0'),
  error_count: fixed('integer', '0'),
}

const MODES = new Set(
  `${DEFAULT_SQL_MODE},ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,IGNORE_SPACE,NO_UNSIGNED_SUBTRACTION,NO_DIR_IN_CREATE,PAD_CHAR_TO_FULL_LENGTH,REAL_AS_FLOAT,PIPES_AS_CONCAT,HIGH_NOT_PRECEDENCE,NO_KEY_OPTIONS,NO_TABLE_OPTIONS,NO_FIELD_OPTIONS`.split(
    ',',
  ),
)
/** Modes that would change how statements are read, and are not built. */
const MISSING_MODES = [
  'PIPES_AS_CONCAT',
  'HIGH_NOT_PRECEDENCE',
  'REAL_AS_FLOAT',
  'PAD_CHAR_TO_FULL_LENGTH',
  'NO_UNSIGNED_SUBTRACTION',
]

const unknown = (name: string): SqlError => new SqlError(1193, `Unknown system variable '${name}'`)

/** Variables of one scope: values that were set, over those of the scope above. */
export class Variables {
  readonly #values = new Map<string, string>()
  readonly #parent: Variables | undefined

  constructor(parent?: Variables) {
    this.#parent = parent
    if (parent !== undefined) for (const [name, value] of parent.#values) this.#values.set(name, value)
  }

  get(name: string): string {
    const found = this.#values.get(name) ?? VARIABLES[name]?.value
    if (found === undefined) throw unknown(name)
    return found
  }

  /** As an SQL value: switches are 1 and 0. */
  value(name: string): Value {
    const value = this.get(name)
    const kind = VARIABLES[name]?.kind
    if (kind === 'integer') return BigInt(value)
    return kind === 'switch' ? (value === 'ON' ? 1n : 0n) : value
  }

  isOn(name: string): boolean {
    return this.get(name) === 'ON'
  }

  /** `undefined` sets the default. Errors: 1193, 1231, 1238. */
  set(name: string, value: Value | undefined): void {
    const variable = VARIABLES[name]
    if (variable === undefined) throw unknown(name)
    if (variable.scope === 'fixed') throw new SqlError(1238, `Variable '${name}' is a read only variable`)
    if (value === undefined) {
      const inherited = this.#parent?.get(name)
      if (inherited === undefined) this.#values.delete(name)
      else this.#values.set(name, inherited)
      return
    }
    const checked = check(name, variable.kind, value)
    for (const same of SAME[name] ?? [name]) this.#values.set(same, checked)
  }

  /** All names and values, in order. */
  list(): [string, string][] {
    return Object.keys(VARIABLES)
      .toSorted()
      .map((name) => [name, this.get(name)])
  }
}

const SAME: Readonly<Record<string, readonly string[]>> = {
  tx_isolation: ['tx_isolation', 'transaction_isolation'],
  transaction_isolation: ['tx_isolation', 'transaction_isolation'],
  tx_read_only: ['tx_read_only', 'transaction_read_only'],
  transaction_read_only: ['tx_read_only', 'transaction_read_only'],
}

function check(name: string, kind: Kind, value: Value): string {
  const shown = value === null ? 'NULL' : toText(value)
  const wrong = (): SqlError => new SqlError(1231, `Variable '${name}' can't be set to the value of '${shown}'`)
  if (kind === 'switch') {
    if (/^(1|on|true)$/i.test(shown)) return 'ON'
    if (/^(0|off|false)$/i.test(shown)) return 'OFF'
    throw wrong()
  }
  if (kind === 'integer') {
    if (!/^-?\d+$/.test(shown)) throw new SqlError(1232, `Incorrect argument type to variable '${name}'`)
    return shown
  }
  if (value === null) {
    if (name === 'character_set_results') return ''
    throw wrong()
  }
  switch (name) {
    case 'sql_mode':
      return checkModes(shown, wrong)
    case 'time_zone':
      return openTimeZone(shown).name
    case 'collation_connection':
    case 'collation_database':
    case 'collation_server':
      return findCollation(shown).name
    case 'transaction_isolation':
    case 'tx_isolation':
      return checkIsolation(shown.toUpperCase(), wrong)
    default:
      return shown
  }
}

function checkModes(value: string, wrong: () => SqlError): string {
  const names =
    value === ''
      ? []
      : value
          .toUpperCase()
          .split(',')
          .map((name) => name.trim())
  const modes = names.flatMap((name) =>
    name === 'TRADITIONAL'
      ? [
          'STRICT_TRANS_TABLES',
          'STRICT_ALL_TABLES',
          'NO_ZERO_IN_DATE',
          'NO_ZERO_DATE',
          'ERROR_FOR_DIVISION_BY_ZERO',
          'NO_ENGINE_SUBSTITUTION',
        ]
      : [name],
  )
  for (const name of modes) {
    if (!MODES.has(name)) throw wrong()
    if (MISSING_MODES.includes(name))
      throw new SqlError(1235, `This version of the Tidewire playground doesn't yet support 'sql_mode ${name}'`)
  }
  return [...new Set(modes)].join(',')
}

function checkIsolation(level: string, wrong: () => SqlError): string {
  if (level === 'REPEATABLE-READ' || level === 'READ-COMMITTED') return level
  if (level === 'SERIALIZABLE' || level === 'READ-UNCOMMITTED')
    throw new SqlError(
      8048,
      `The isolation level '${level}' is not supported. Set tidb_skip_isolation_level_check=1 to skip this error`,
    )
  throw wrong()
}

/** Bits of sql_mode as DDL jobs store them (source: TiDB pkg/parser/mysql/const.go). */
const MODE_BITS: Readonly<Record<string, bigint>> = {
  REAL_AS_FLOAT: 1n << 0n,
  PIPES_AS_CONCAT: 1n << 1n,
  ANSI_QUOTES: 1n << 2n,
  IGNORE_SPACE: 1n << 3n,
  ONLY_FULL_GROUP_BY: 1n << 5n,
  NO_UNSIGNED_SUBTRACTION: 1n << 6n,
  NO_DIR_IN_CREATE: 1n << 7n,
  NO_KEY_OPTIONS: 1n << 10n,
  NO_TABLE_OPTIONS: 1n << 11n,
  NO_FIELD_OPTIONS: 1n << 12n,
  NO_AUTO_VALUE_ON_ZERO: 1n << 19n,
  NO_BACKSLASH_ESCAPES: 1n << 20n,
  STRICT_TRANS_TABLES: 1n << 21n,
  STRICT_ALL_TABLES: 1n << 22n,
  NO_ZERO_IN_DATE: 1n << 23n,
  NO_ZERO_DATE: 1n << 24n,
  ALLOW_INVALID_DATES: 1n << 25n,
  ERROR_FOR_DIVISION_BY_ZERO: 1n << 26n,
  NO_AUTO_CREATE_USER: 1n << 28n,
  HIGH_NOT_PRECEDENCE: 1n << 29n,
  NO_ENGINE_SUBSTITUTION: 1n << 30n,
  PAD_CHAR_TO_FULL_LENGTH: 1n << 31n,
}

export const sqlModeBits = (modes: string): bigint =>
  modes.split(',').reduce((bits, mode) => bits | (MODE_BITS[mode] ?? 0n), 0n)
