import type { Value } from '../value/value.ts'

/** Expressions. `text` of a select item is its source, which names the result column. */
export type Expression =
  | { readonly kind: 'literal'; readonly value: Value }
  | { readonly kind: 'column'; readonly schema: string; readonly table: string; readonly name: string }
  | { readonly kind: 'parameter'; readonly index: number }
  | { readonly kind: 'userVariable'; readonly name: string }
  | { readonly kind: 'systemVariable'; readonly scope: VariableScope; readonly name: string }
  | { readonly kind: 'unary'; readonly operator: '-' | '+' | '!' | '~'; readonly operand: Expression }
  | {
      readonly kind: 'binary'
      readonly operator: BinaryOperator
      readonly left: Expression
      readonly right: Expression
    }
  | {
      readonly kind: 'in'
      readonly operand: Expression
      readonly items: readonly Expression[]
      readonly negated: boolean
    }
  | {
      readonly kind: 'inQuery'
      readonly operand: Expression
      readonly query: SelectStatement
      readonly negated: boolean
    }
  | {
      readonly kind: 'between'
      readonly operand: Expression
      readonly low: Expression
      readonly high: Expression
      readonly negated: boolean
    }
  | {
      readonly kind: 'like'
      readonly operand: Expression
      readonly pattern: Expression
      readonly escape: string
      readonly negated: boolean
    }
  | { readonly kind: 'regexp'; readonly operand: Expression; readonly pattern: Expression; readonly negated: boolean }
  | {
      readonly kind: 'is'
      readonly operand: Expression
      readonly test: 'null' | 'true' | 'false'
      readonly negated: boolean
    }
  | {
      readonly kind: 'case'
      readonly operand: Expression | undefined
      readonly branches: readonly CaseBranch[]
      readonly otherwise: Expression | undefined
    }
  | {
      readonly kind: 'call'
      readonly name: string
      readonly args: readonly Expression[]
      readonly distinct: boolean
      readonly star: boolean
      readonly separator: string
      readonly orderBy: readonly OrderItem[]
    }
  | { readonly kind: 'cast'; readonly operand: Expression; readonly type: TypeNode }
  | { readonly kind: 'interval'; readonly amount: Expression; readonly unit: string }
  | { readonly kind: 'default'; readonly column: string }
  | { readonly kind: 'values'; readonly column: string }
  | { readonly kind: 'row'; readonly items: readonly Expression[] }
  | { readonly kind: 'query'; readonly query: SelectStatement }
  | { readonly kind: 'exists'; readonly query: SelectStatement }
  | { readonly kind: 'collate'; readonly operand: Expression; readonly collation: string }
  | { readonly kind: 'assign'; readonly name: string; readonly value: Expression }

export type BinaryOperator =
  | '+'
  | '-'
  | '*'
  | '/'
  | 'DIV'
  | '%'
  | '&'
  | '|'
  | '^'
  | '<<'
  | '>>'
  | '='
  | '<=>'
  | '<'
  | '<='
  | '>'
  | '>='
  | '<>'
  | 'AND'
  | 'OR'
  | 'XOR'
  | '->'
  | '->>'

export type VariableScope = 'session' | 'global' | 'default'

export interface CaseBranch {
  readonly when: Expression
  readonly then: Expression
}

/** A type as written; `length` is the first number in parentheses, `scale` the second. */
export interface TypeNode {
  readonly name: string
  readonly length: number | undefined
  readonly scale: number | undefined
  readonly unsigned: boolean
  readonly zerofill: boolean
  readonly binary: boolean
  readonly charset: string
  readonly collate: string
  readonly elements: readonly string[]
}

export interface TableName {
  readonly schema: string
  readonly name: string
}

export interface OrderItem {
  readonly expression: Expression
  readonly descending: boolean
}

export type TableSource =
  | {
      readonly kind: 'table'
      readonly table: TableName
      readonly alias: string
      /** PARTITION (p0, …) */
      readonly partitions?: readonly string[] | undefined
    }
  | { readonly kind: 'query'; readonly query: SelectStatement; readonly alias: string }
  | {
      readonly kind: 'join'
      readonly left: TableSource
      readonly right: TableSource
      readonly type: 'inner' | 'left' | 'right'
      readonly on: Expression | undefined
      readonly using: readonly string[]
    }

export type SelectItem =
  | { readonly kind: 'star'; readonly schema: string; readonly table: string }
  | { readonly kind: 'expression'; readonly expression: Expression; readonly alias: string; readonly text: string }

export interface SelectStatement {
  readonly kind: 'select'
  readonly distinct: boolean
  readonly items: readonly SelectItem[]
  readonly from: TableSource | undefined
  readonly where: Expression | undefined
  readonly groupBy: readonly Expression[]
  readonly having: Expression | undefined
  readonly orderBy: readonly OrderItem[]
  readonly limit: Limit | undefined
  readonly forUpdate: boolean
  /** Further SELECTs joined by UNION; ORDER BY and LIMIT of the first then belong to the whole. */
  readonly unions: readonly { readonly all: boolean; readonly select: SelectStatement }[]
}

export interface Limit {
  readonly count: Expression
  readonly offset: Expression | undefined
}

export interface Assignment {
  readonly column: string
  readonly value: Expression
}

export interface InsertStatement {
  readonly kind: 'insert'
  readonly replace: boolean
  readonly ignore: boolean
  readonly table: TableName
  /** undefined = all columns in table order. */
  readonly columns: readonly string[] | undefined
  readonly rows: readonly (readonly Expression[])[]
  readonly query: SelectStatement | undefined
  readonly onDuplicate: readonly Assignment[]
}

export interface UpdateStatement {
  readonly kind: 'update'
  readonly ignore: boolean
  readonly table: TableName
  readonly alias: string
  readonly assignments: readonly Assignment[]
  readonly where: Expression | undefined
  readonly orderBy: readonly OrderItem[]
  readonly limit: Limit | undefined
}

export interface DeleteStatement {
  readonly kind: 'delete'
  readonly table: TableName
  readonly alias: string
  readonly where: Expression | undefined
  readonly orderBy: readonly OrderItem[]
  readonly limit: Limit | undefined
}

export interface ColumnNode {
  readonly name: string
  readonly type: TypeNode
  /** undefined = not said. */
  readonly nullable: boolean | undefined
  readonly defaultValue: Expression | undefined
  readonly onUpdateNow: Expression | undefined
  readonly autoIncrement: boolean
  readonly primary: boolean
  readonly unique: boolean
  readonly clustered: boolean | undefined
  readonly comment: string
  readonly generated?: { readonly expression: Expression; readonly stored: boolean } | undefined
  /** AUTO_RANDOM(shard bits, range bits). */
  readonly autoRandom?: { readonly shardBits: number; readonly rangeBits: number } | undefined
}

export interface IndexPart {
  readonly column: string
  /** Of an expression index; `column` is then ''. */
  readonly expression?: Expression | undefined
  readonly length: number | undefined
}

export interface IndexNode {
  readonly name: string
  readonly kind: 'primary' | 'unique' | 'plain'
  readonly parts: readonly IndexPart[]
  readonly clustered: boolean | undefined
  readonly comment: string
  readonly invisible: boolean
}

export interface TableOptions {
  readonly charset: string
  readonly collate: string
  readonly comment: string
  readonly autoIncrement: bigint | undefined
  readonly shardRowIdBits?: number
  readonly preSplitRegions?: number
  readonly autoIdCache?: bigint
  readonly autoRandomBase?: bigint
  readonly compression?: string
  /** Name of a placement policy. */
  readonly placement?: string
  readonly ttl?: TtlNode
  readonly ttlEnable?: boolean
  readonly ttlJobInterval?: string
}

/** `TTL = column + INTERVAL amount unit` */
export interface TtlNode {
  readonly column: string
  /** As written. */
  readonly amount: string
  readonly unit: string
}

export interface ForeignKeyNode {
  readonly name: string
  readonly columns: readonly string[]
  readonly table: TableName
  readonly references: readonly string[]
  readonly onDelete: string
  readonly onUpdate: string
}

export type PartitionKind = 'range' | 'list' | 'hash' | 'key'

export interface PartitionDefinitionNode {
  readonly name: string
  /** undefined in place of an expression = MAXVALUE. */
  readonly lessThan?: readonly (Expression | undefined)[]
  /** One tuple per value; DEFAULT is a tuple of nothing. */
  readonly inValues?: readonly (readonly Expression[])[]
  readonly comment: string
  readonly placement: string
}

export interface PartitionNode {
  readonly kind: PartitionKind
  /** undefined where columns are named instead (RANGE COLUMNS, LIST COLUMNS, KEY). */
  readonly expression: Expression | undefined
  readonly columns: readonly string[]
  readonly count: number | undefined
  readonly definitions: readonly PartitionDefinitionNode[]
}

export interface CreateTableStatement {
  readonly kind: 'createTable'
  readonly table: TableName
  readonly ifNotExists: boolean
  readonly like: TableName | undefined
  readonly columns: readonly ColumnNode[]
  readonly indexes: readonly IndexNode[]
  readonly foreignKeys: readonly ForeignKeyNode[]
  readonly options: TableOptions
  readonly partition: PartitionNode | undefined
}

export type ColumnPosition =
  | { readonly kind: 'last' }
  | { readonly kind: 'first' }
  | { readonly kind: 'after'; readonly column: string }

export type AlterSpec =
  | {
      readonly kind: 'addColumn'
      readonly column: ColumnNode
      readonly position: ColumnPosition
      readonly ifNotExists: boolean
    }
  | { readonly kind: 'dropColumn'; readonly column: string; readonly ifExists: boolean }
  | {
      readonly kind: 'modifyColumn'
      readonly oldName: string
      readonly column: ColumnNode
      readonly position: ColumnPosition | undefined
    }
  | { readonly kind: 'renameColumn'; readonly oldName: string; readonly newName: string }
  | { readonly kind: 'setDefault'; readonly column: string; readonly value: Expression | undefined }
  | { readonly kind: 'addIndex'; readonly index: IndexNode; readonly ifNotExists: boolean }
  | { readonly kind: 'dropIndex'; readonly name: string; readonly ifExists: boolean }
  | { readonly kind: 'renameIndex'; readonly oldName: string; readonly newName: string }
  | { readonly kind: 'renameTable'; readonly to: TableName }
  | { readonly kind: 'comment'; readonly comment: string }
  | { readonly kind: 'autoIncrement'; readonly value: bigint }
  | { readonly kind: 'indexVisibility'; readonly name: string; readonly invisible: boolean }
  | { readonly kind: 'charset'; readonly charset: string; readonly collate: string; readonly convert: boolean }
  | { readonly kind: 'options'; readonly options: Partial<TableOptions> }
  | { readonly kind: 'removeTtl' }
  | { readonly kind: 'addForeignKey'; readonly key: ForeignKeyNode }
  | { readonly kind: 'dropForeignKey'; readonly name: string; readonly ifExists: boolean }
  | PartitionSpec

/** Clauses of ALTER TABLE that change partitions; each stands alone. */
export type PartitionSpec =
  | {
      readonly kind: 'addPartition'
      readonly definitions: readonly PartitionDefinitionNode[]
      readonly count: number
      readonly ifNotExists: boolean
    }
  | { readonly kind: 'dropPartition'; readonly names: readonly string[]; readonly ifExists: boolean }
  /** `names` undefined = ALL. */
  | { readonly kind: 'truncatePartition'; readonly names: readonly string[] | undefined }
  | { readonly kind: 'coalescePartition'; readonly count: number }
  | {
      readonly kind: 'reorganizePartition'
      readonly names: readonly string[]
      readonly definitions: readonly PartitionDefinitionNode[]
    }
  | {
      readonly kind: 'exchangePartition'
      readonly name: string
      readonly table: TableName
      readonly validate: boolean
    }
  | { readonly kind: 'partitionBy'; readonly partition: PartitionNode }
  | { readonly kind: 'removePartitioning' }

export type SetItem =
  | {
      readonly kind: 'variable'
      readonly scope: VariableScope
      readonly name: string
      readonly value: Expression | undefined
    }
  | { readonly kind: 'userVariable'; readonly name: string; readonly value: Expression }
  | { readonly kind: 'names'; readonly charset: string; readonly collation: string }
  | { readonly kind: 'isolation'; readonly level: string; readonly readOnly: boolean | undefined }

export type ShowStatement = {
  readonly kind: 'show'
  readonly what:
    | 'databases'
    | 'tables'
    | 'fullTables'
    | 'createTable'
    | 'createDatabase'
    | 'variables'
    | 'columns'
    | 'fullColumns'
    | 'indexes'
    | 'warnings'
    | 'errors'
    | 'status'
    | 'engines'
    | 'charset'
    | 'collation'
    | 'processlist'
    | 'tableStatus'
    | 'grants'
    | 'masterStatus'
  readonly scope: VariableScope
  readonly schema: string
  readonly table: string
  readonly like: string | undefined
  readonly where: Expression | undefined
}

export interface CreateViewStatement {
  readonly kind: 'createView'
  readonly view: TableName
  readonly orReplace: boolean
  readonly columns: readonly string[]
  readonly select: SelectStatement
  readonly security: 'definer' | 'invoker'
}

/** CREATE and ALTER SEQUENCE: what is not said is undefined. */
export interface SequenceStatement {
  readonly kind: 'createSequence' | 'alterSequence'
  readonly sequence: TableName
  /** IF NOT EXISTS of CREATE, IF EXISTS of ALTER. */
  readonly lenient: boolean
  readonly start?: bigint
  readonly increment?: bigint
  readonly least?: bigint | undefined
  readonly most?: bigint | undefined
  readonly cache?: bigint
  readonly cycle?: boolean
}

export type DdlStatement =
  | {
      readonly kind: 'createDatabase'
      readonly name: string
      readonly ifNotExists: boolean
      readonly charset: string
      readonly collate: string
    }
  | { readonly kind: 'dropDatabase'; readonly name: string; readonly ifExists: boolean }
  | {
      readonly kind: 'alterDatabase'
      /** '' = the one in use. */
      readonly name: string
      readonly charset: string
      readonly collate: string
    }
  | CreateTableStatement
  | CreateViewStatement
  | { readonly kind: 'dropView'; readonly views: readonly TableName[]; readonly ifExists: boolean }
  | SequenceStatement
  | { readonly kind: 'dropSequence'; readonly sequences: readonly TableName[]; readonly ifExists: boolean }
  | { readonly kind: 'recoverTable'; readonly table: TableName; readonly newName: string }
  | { readonly kind: 'dropTable'; readonly tables: readonly TableName[]; readonly ifExists: boolean }
  | { readonly kind: 'truncateTable'; readonly table: TableName }
  | { readonly kind: 'renameTable'; readonly pairs: readonly { readonly from: TableName; readonly to: TableName }[] }
  | { readonly kind: 'alterTable'; readonly table: TableName; readonly specs: readonly AlterSpec[] }

export type DmlStatement = InsertStatement | UpdateStatement | DeleteStatement

export type Statement =
  | SelectStatement
  | DmlStatement
  | DdlStatement
  | ShowStatement
  | { readonly kind: 'describe'; readonly table: TableName; readonly column: string }
  | { readonly kind: 'set'; readonly items: readonly SetItem[] }
  | { readonly kind: 'begin'; readonly optimistic: boolean | undefined; readonly readOnly: boolean }
  | { readonly kind: 'commit' }
  | { readonly kind: 'rollback' }
  | { readonly kind: 'use'; readonly schema: string }
  | { readonly kind: 'prepare'; readonly name: string; readonly from: Expression }
  | { readonly kind: 'execute'; readonly name: string; readonly using: readonly string[] }
  | { readonly kind: 'deallocate'; readonly name: string }
  /** Statements that mean nothing here and are answered with OK (LOCK TABLES, FLUSH, ANALYZE …). */
  | { readonly kind: 'nothing' }

export interface ParsedStatement {
  readonly statement: Statement
  /** The statement's own text, without the closing semicolon. */
  readonly text: string
  readonly parameters: number
}
