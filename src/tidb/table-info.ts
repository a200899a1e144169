/**
 * Table metadata as TiDB stores it (JSON of model.TableInfo). Field names are TiDB's in camelCase; absent keys have the
 * zero value. Source: reference schema-tracking, section 4.
 */

/** A name as typed and in lower case (`CIStr`). */
export interface CiName {
  readonly original: string
  readonly lower: string
}

/** MySQL type codes (reference: schema-tracking 4.4). */
export const MysqlType = {
  Unspecified: 0,
  Tiny: 1,
  Short: 2,
  Long: 3,
  Float: 4,
  Double: 5,
  Null: 6,
  Timestamp: 7,
  Longlong: 8,
  Int24: 9,
  Date: 10,
  Duration: 11,
  Datetime: 12,
  Year: 13,
  NewDate: 14,
  Varchar: 15,
  Bit: 16,
  VectorFloat32: 0xe1,
  Json: 0xf5,
  NewDecimal: 0xf6,
  Enum: 0xf7,
  Set: 0xf8,
  TinyBlob: 0xf9,
  MediumBlob: 0xfa,
  LongBlob: 0xfb,
  Blob: 0xfc,
  VarString: 0xfd,
  String: 0xfe,
  Geometry: 0xff,
} as const
export type MysqlType = (typeof MysqlType)[keyof typeof MysqlType]

/** Bits of {@link FieldType.flag} (reference: schema-tracking 4.5). */
export const FieldFlag = {
  NotNull: 1,
  PriKey: 2,
  UniqueKey: 4,
  MultipleKey: 8,
  Blob: 16,
  Unsigned: 32,
  Zerofill: 64,
  Binary: 128,
  Enum: 256,
  AutoIncrement: 512,
  Timestamp: 1024,
  Set: 2048,
  NoDefaultValue: 4096,
  OnUpdateNow: 8192,
  PartKey: 16384,
  Num: 32768,
  GeneratedColumn: 8388608,
} as const

/** Public schema state; other states belong to a DDL under way. */
export const STATE_PUBLIC = 5

export interface FieldType {
  readonly tp: MysqlType
  readonly flag: number
  /** Display width, precision or length in characters; -1 = unspecified. */
  readonly flen: number
  /** Scale of a decimal, fractional digits of a time; -1 = unspecified. */
  readonly decimal: number
  readonly charset: string
  readonly collate: string
  /** Elements of ENUM and SET. */
  readonly elems: readonly string[]
  /** True for the hidden column of a multi-valued index. */
  readonly array: boolean
}

export interface ColumnInfo {
  readonly id: number
  readonly name: CiName
  readonly offset: number
  /** JSON value as stored: a string for most types, null when none. */
  readonly originDefault: string | number | bigint | boolean | null
  /** base64, for BIT columns. */
  readonly originDefaultBit: string | null
  readonly defaultValue: string | number | bigint | boolean | null
  readonly defaultBit: string | null
  readonly defaultIsExpr: boolean
  readonly generatedExpr: string
  readonly generatedStored: boolean
  readonly type: FieldType
  readonly state: number
  readonly comment: string
  readonly hidden: boolean
  /** ≥ 1: timestamp defaults are in UTC. */
  readonly version: number
}

export interface IndexColumn {
  readonly name: CiName
  /** Index into {@link TableInfo.columns}. */
  readonly offset: number
  /** Prefix length, -1 = whole column. */
  readonly length: number
}

export interface IndexInfo {
  readonly id: number
  readonly name: CiName
  readonly columns: readonly IndexColumn[]
  readonly state: number
  readonly unique: boolean
  readonly primary: boolean
  readonly invisible: boolean
  readonly multiValued: boolean
  readonly comment: string
}

export interface PartitionDefinition {
  readonly id: bigint
  readonly name: CiName
}

export interface TableInfo {
  readonly id: bigint
  readonly name: CiName
  readonly charset: string
  readonly collate: string
  readonly columns: readonly ColumnInfo[]
  readonly indexes: readonly IndexInfo[]
  readonly state: number
  readonly pkIsHandle: boolean
  readonly isCommonHandle: boolean
  readonly commonHandleVersion: number
  readonly comment: string
  /** TSO of the last DDL as TiDB saw it; some protocols print it as the table version. */
  readonly updateTs: bigint
  readonly maxColumnId: number
  /** undefined where the table is not partitioned (absent, or not enabled). */
  readonly partitions: readonly PartitionDefinition[] | undefined
  readonly isView: boolean
  readonly isSequence: boolean
  /** 0 none, 1 global, 2 local. */
  readonly tempTableType: number
}
