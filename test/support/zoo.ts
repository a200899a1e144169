/** Definitions of the schema zoo: types with values, kinds of keys, partitions. */

export interface ZooType {
  /** Distinct SQL literals, none NULL. */
  readonly literals: readonly string[]
  /** How values are compared. */
  readonly kind?: 'bytes' | 'float' | 'bit' | 'enum' | 'set'
  /** Whether a column may have a DEFAULT. */
  readonly defaults: boolean
  /** In an index: whole, by a prefix, or not at all. */
  readonly key: 'whole' | 'prefix' | 'none'
}

const whole = (literals: readonly string[], kind?: ZooType['kind']): ZooType => ({
  literals,
  defaults: true,
  key: 'whole',
  ...(kind === undefined ? {} : { kind }),
})
const long = (literals: readonly string[], kind?: ZooType['kind']): ZooType => ({
  ...whole(literals, kind),
  defaults: false,
  key: 'prefix',
})

const TEXTS = ["'plain'", "'Zürich ß'", "'漢字 text'", "'emoji 😀'", "''", "'it''s \\\\ \"q\"'"]
const BMP_TEXTS = ["'plain'", "'Zürich'", "'漢字 text'", "''"]
const GBK_TEXTS = ["'plain'", "'中文'", "'汉字 text'", "''"]
const ASCII_TEXTS = ["'plain'", "'b'", "'Upper'", "''"]
const BYTES = ["x'00ff41'", "x'41'", "x'8000'", "x'e4bd'"]

export const TYPES: Readonly<Record<string, ZooType>> = {
  TINYINT: whole(['-128', '0', '1', '127']),
  'TINYINT UNSIGNED': whole(['0', '128', '255']),
  BOOL: whole(['0', '1', '-1']),
  SMALLINT: whole(['-32768', '0', '32767']),
  'MEDIUMINT UNSIGNED': whole(['0', '16777215', '8388608']),
  INT: whole(['-2147483648', '0', '2147483647']),
  'INT UNSIGNED': whole(['0', '2147483648', '4294967295']),
  BIGINT: whole(['-9223372036854775808', '0', '9007199254740993', '9223372036854775807']),
  'BIGINT UNSIGNED': whole(['0', '9223372036854775808', '18446744073709551615']),
  FLOAT: whole(['0', '1.5', '-0.25', '123456'], 'float'),
  DOUBLE: whole(['0', '-1.5e-10', '1e15', '123456.789'], 'float'),
  'DECIMAL(10,2)': whole(['0', '-1.10', '99999999.99']),
  'DECIMAL(65,30)': whole(['0', '0.000000000000000000000000000001', '-12345678901234567890123456789012345.5']),
  DATE: whole(["'2024-02-29'", "'0000-00-00'", "'9999-12-31'", "'1000-01-01'"]),
  DATETIME: whole(["'2024-02-29 23:59:59'", "'0000-00-00 00:00:00'", "'1000-01-01 00:00:00'"]),
  'DATETIME(6)': whole(["'2024-02-29 23:59:59.999999'", "'2024-01-01 00:00:00'"]),
  TIMESTAMP: whole(["'2024-02-29 23:59:59'", "'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'"]),
  'TIMESTAMP(3)': whole(["'2024-02-29 23:59:59.123'", "'2024-01-01 00:00:00'"]),
  TIME: whole(["'-838:59:59'", "'00:00:00'", "'24:00:01'", "'838:59:59'"]),
  'TIME(4)': whole(["'-00:00:00.5'", "'12:00:00.1234'"]),
  YEAR: whole(['1901', '2024', '2155']),
  'CHAR(20)': whole(TEXTS),
  'VARCHAR(20)': whole(TEXTS),
  'VARCHAR(20) COLLATE utf8mb4_general_ci': whole(TEXTS),
  'CHAR(20) COLLATE utf8mb4_unicode_ci': whole(TEXTS),
  'VARCHAR(20) COLLATE utf8mb4_0900_ai_ci': whole(TEXTS),
  'VARCHAR(20) CHARACTER SET utf8': whole(BMP_TEXTS),
  'VARCHAR(20) CHARACTER SET latin1': whole(ASCII_TEXTS),
  'CHAR(20) CHARACTER SET ascii': whole(ASCII_TEXTS),
  'VARCHAR(20) CHARACTER SET gbk': whole(GBK_TEXTS),
  'CHAR(20) CHARACTER SET gbk COLLATE gbk_bin': whole(GBK_TEXTS),
  'VARCHAR(20) CHARACTER SET gb18030': whole(GBK_TEXTS),
  TINYTEXT: long(TEXTS),
  TEXT: long(TEXTS),
  MEDIUMTEXT: long(TEXTS),
  'LONGTEXT CHARACTER SET gbk': long(GBK_TEXTS),
  'BINARY(4)': whole(BYTES, 'bytes'),
  'VARBINARY(9)': whole(BYTES, 'bytes'),
  BLOB: long(BYTES, 'bytes'),
  LONGBLOB: long(BYTES, 'bytes'),
  "ENUM('a','b','c')": whole(["'b'", "'a'", "'c'"], 'enum'),
  "SET('a','b','c')": whole(["'a,c'", "''", "'b'", "'a,b,c'"], 'set'),
  'BIT(1)': whole(["b'0'", "b'1'"], 'bit'),
  'BIT(64)': whole(["b'0'", "b'1000000000000000000000000000000000000000000000000000000000000001'", "b'10'"], 'bit'),
  JSON: {
    literals: [`'{"a": 1, "b": [true, null, "x"]}'`, "'null'", "'[]'", `'"漢 😀"'`, "'18446744073709551615'", "'1.5'"],
    defaults: false,
    key: 'none',
  },
  'VECTOR(3)': { literals: ["'[1,2.5,-3]'", "'[0,0,0]'"], defaults: false, key: 'none' },
}

/** Kinds of primary and unique keys over `id` and the value `v`. */
export const keysOf = [
  'clustered id',
  'nonclustered id',
  'unique id, no primary key',
  'clustered value',
  'clustered value and id',
  'nonclustered value and id',
] as const
type KeyKind = (typeof keysOf)[number]

export interface ZooTable {
  /** First name; the present one may differ. */
  readonly origin: string
  name: string
  readonly ddl: string
  /** What is special about it, for the list of what was left out. */
  readonly feature: string
  /** Column → type, as SELECT lists them. */
  readonly columns: Map<string, string>
  readonly literals: readonly string[]
  /** True where each value can be there once. */
  readonly keyIsValue: boolean
}

const PARTITIONS = [
  'PARTITION BY HASH (id) PARTITIONS 3',
  'PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (2), PARTITION p1 VALUES LESS THAN (MAXVALUE))',
  'PARTITION BY KEY (id) PARTITIONS 2',
  'PARTITION BY LIST (id) (PARTITION p0 VALUES IN (0, 1, 2, 3), PARTITION p1 VALUES IN (4, 5, 6, 7, 8, 9, 10, 11))',
] as const

/** Each table with its plainer forms after it, for a SQL front that cannot make it. */
export function zooTables(): readonly (readonly ZooTable[])[] {
  return Object.entries(TYPES).flatMap(([type, zooType], typeAt) =>
    keysOf.flatMap((kind, kindAt): readonly (readonly ZooTable[])[] => {
      const key = keyClause(kind, zooType)
      if (key === undefined) return []
      const origin = `z${typeAt}k${kindAt}`
      const partition = kind === 'clustered id' ? PARTITIONS[typeAt % (PARTITIONS.length + 1)] : undefined
      const generated = kind === 'nonclustered id' && typeAt % 2 === 0
      const plain = tableOf(origin, type, zooType, kind, key, {})
      const special = tableOf(origin, type, zooType, kind, key, { partition, generated })
      return [special.ddl === plain.ddl ? [plain] : [special, plain]]
    }),
  )
}

function keyClause(kind: KeyKind, { key }: ZooType): string | undefined {
  const value = key === 'prefix' ? 'v(8)' : 'v'
  switch (kind) {
    case 'clustered id':
      return 'PRIMARY KEY (id) CLUSTERED'
    case 'nonclustered id':
      return 'PRIMARY KEY (id) NONCLUSTERED'
    case 'unique id, no primary key':
      return 'UNIQUE KEY (id)'
    default: {
      if (key === 'none') return undefined
      const parts = kind === 'clustered value' ? value : `${value}, id`
      return `PRIMARY KEY (${parts}) ${kind.startsWith('clustered') ? 'CLUSTERED' : 'NONCLUSTERED'}`
    }
  }
}

function tableOf(
  origin: string,
  type: string,
  { literals, defaults }: ZooType,
  kind: KeyKind,
  key: string,
  special: { readonly partition?: string | undefined; readonly generated?: boolean },
): ZooTable {
  const [first] = literals
  const definitions = [
    'id BIGINT NOT NULL',
    `v ${type} NOT NULL`,
    `n ${type}`,
    ...(defaults ? [`d ${type} NOT NULL DEFAULT ${first}`] : []),
    ...(special.generated === true ? ['g BIGINT AS (id + 1) STORED', 'h BIGINT AS (id * 2) VIRTUAL'] : []),
    key,
  ]
  return {
    origin,
    name: origin,
    ddl: `CREATE TABLE ${origin} (${definitions.join(', ')})${special.partition === undefined ? '' : ` ${special.partition}`}`,
    feature:
      special.partition?.split('(')[0]?.trim() ??
      (special.generated === true ? 'generated columns' : `${kind} with ${type}`),
    columns: new Map([
      ['id', 'BIGINT'],
      ['v', type],
      ['n', type],
      ...(defaults ? [['d', type] as const] : []),
      ...(special.generated === true ? [['g', 'BIGINT'] as const] : []),
    ]),
    literals,
    keyIsValue: kind === 'clustered value',
  }
}
