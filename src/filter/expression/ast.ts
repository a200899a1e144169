/** A scalar SQL expression as it is written; what it means is decided when it is compiled against a table. */
export type Expression =
  | Literal
  | ColumnName
  | { readonly kind: 'unary'; readonly operator: UnaryOperator; readonly operand: Expression }
  | {
      readonly kind: 'binary'
      readonly operator: BinaryOperator
      readonly left: Expression
      readonly right: Expression
    }
  | { readonly kind: 'in'; readonly operand: Expression; readonly list: readonly Expression[] }
  | {
      readonly kind: 'like'
      readonly operand: Expression
      readonly pattern: Expression
      readonly escape: Expression | undefined
    }
  | { readonly kind: 'is'; readonly operand: Expression; readonly what: 'null' | 'true' | 'false' }
  | {
      readonly kind: 'case'
      readonly operand: Expression | undefined
      readonly branches: readonly { readonly when: Expression; readonly then: Expression }[]
      readonly otherwise: Expression | undefined
    }
  | { readonly kind: 'cast'; readonly operand: Expression; readonly to: CastType }
  | { readonly kind: 'collate'; readonly operand: Expression; readonly collation: string }
  | { readonly kind: 'interval'; readonly amount: Expression; readonly unit: string }
  | { readonly kind: 'row'; readonly items: readonly Expression[] }
  /** `name` in lower case. */
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] }

export type UnaryOperator = '-' | '~' | 'not'
export type ComparisonOperator = '=' | '<=>' | '<>' | '<' | '<=' | '>' | '>='
export type ArithmeticOperator = '+' | '-' | '*' | '/' | 'div' | '%'
export type BitOperator = '&' | '|' | '^' | '<<' | '>>'
export type LogicOperator = 'and' | 'or' | 'xor'
export type BinaryOperator = ComparisonOperator | ArithmeticOperator | BitOperator | LogicOperator | 'regexp'

/** Digits of `integer` and `decimal` are text; `hex` is bytes in latin1; a time is checked text. */
export type Literal =
  | { readonly kind: 'null' }
  | { readonly kind: 'integer' | 'decimal' | 'real' | 'hex'; readonly text: string }
  | { readonly kind: 'boolean'; readonly value: boolean }
  /** `binary` for `_binary'…'`. */
  | { readonly kind: 'string'; readonly text: string; readonly binary: boolean }
  | { readonly kind: 'time'; readonly type: 'date' | 'time' | 'timestamp'; readonly text: string }

export interface ColumnName {
  readonly kind: 'column'
  readonly schema: string
  readonly table: string
  readonly name: string
}

export interface CastType {
  readonly name:
    | 'signed'
    | 'unsigned'
    | 'char'
    | 'binary'
    | 'decimal'
    | 'date'
    | 'datetime'
    | 'time'
    | 'year'
    | 'double'
    | 'float'
    | 'json'
  /** Length, precision or digits of a second; -1 where none is given. */
  readonly length: number
  readonly scale: number
}

/** Every expression in a tree, its root first. */
export function* walk(expression: Expression): Generator<Expression> {
  yield expression
  for (const child of childrenOf(expression)) yield* walk(child)
}

function childrenOf(node: Expression): readonly Expression[] {
  switch (node.kind) {
    case 'unary':
    case 'is':
    case 'cast':
    case 'collate':
      return [node.operand]
    case 'binary':
      return [node.left, node.right]
    case 'in':
      return [node.operand, ...node.list]
    case 'like':
      return [node.operand, node.pattern, ...optional(node.escape)]
    case 'case':
      return [
        ...optional(node.operand),
        ...node.branches.flatMap(({ when, then }) => [when, then]),
        ...optional(node.otherwise),
      ]
    case 'interval':
      return [node.amount]
    case 'row':
      return node.items
    case 'call':
      return node.args
    default:
      return []
  }
}

const optional = (expression: Expression | undefined): readonly Expression[] =>
  expression === undefined ? [] : [expression]
