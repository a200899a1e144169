/**
 * Tables of configuration keys: the one place where a key's type, default, range, doc and sinks stand. Decoding TOML and
 * JSON, printing JSON, masking and the documentation page are walks over such a table. Properties are camelCase; the
 * file's name (`kebab-case`) and the API's name (`snake_case`) follow from them unless `file` or `api` say otherwise.
 */
export type SinkFamily = 'mq' | 'storage' | 'mysql'

export interface KeyOptions {
  readonly doc?: string
  /** Allowed values or bounds, as text for people. */
  readonly allowed?: string
  /** Families that the key means something to; all when absent. Others do not see it in the API's answers. */
  readonly sinks?: readonly SinkFamily[]
  /** What an unset key means. */
  readonly implied?: boolean | number | string
  readonly file?: string
  readonly api?: string
  /** Not shown by the API. */
  readonly hidden?: true
  /** Left out of JSON when empty or zero; absent values are always left out. */
  readonly omitEmpty?: boolean
  /** Never shown; `uri`: shown with its secrets masked. */
  readonly secret?: true | 'uri'
  /** Negative values are refused; what does not fit a number is taken as the largest that does. */
  readonly unsigned?: true
  /** What it asks for is not there yet: any value but the default is refused at create. */
  readonly unbuilt?: true
}

export type LeafKind = 'bool' | 'int' | 'float' | 'text' | 'texts' | 'uint64s' | 'duration'

export interface Leaf<T> extends KeyOptions {
  readonly kind: LeafKind
  readonly fallback: T
}

export interface TableOptions {
  readonly sinks?: readonly SinkFamily[]
  /** Names of API members where their order is not the table's. */
  readonly apiOrder?: readonly string[]
  /** Names in the API's JSON; snake_case when absent. */
  readonly apiNames?: 'kebab'
  /** Keys that files and stored changefeeds may still contain → what became of them. Accepted, reported, dropped. */
  readonly retired?: Readonly<Record<string, string>>
}

export interface Table<F extends Fields> extends TableOptions {
  readonly kind: 'table'
  readonly fields: F
}
/** undefined where the file does not have it. */
export interface OptionalTable<F extends Fields> extends TableOptions {
  readonly kind: 'optionalTable'
  readonly fields: F
}
export interface Tables<F extends Fields> extends TableOptions {
  readonly kind: 'tables'
  readonly fields: F
}

export type KeyNode = Leaf<unknown> | Table<Fields> | OptionalTable<Fields> | Tables<Fields>
export interface Fields {
  readonly [name: string]: KeyNode
}

export type Decoded<F extends Fields> = { readonly [K in keyof F]: DecodedNode<F[K]> }
type DecodedNode<N> =
  N extends Leaf<infer T>
    ? T
    : N extends Table<infer F>
      ? Decoded<F>
      : N extends OptionalTable<infer F>
        ? Decoded<F> | undefined
        : N extends Tables<infer F>
          ? readonly Decoded<F>[]
          : never

/** `undefined` as default makes the key one that may be unset. */
type Fallback<D, T> = D extends undefined ? T | undefined : T

export const bool = <D extends boolean | undefined>(fallback: D, options: KeyOptions): Leaf<Fallback<D, boolean>> =>
  leaf('bool', fallback, options)
/** A whole number within ±2^53. */
export const int = <D extends number | undefined>(fallback: D, options: KeyOptions): Leaf<Fallback<D, number>> =>
  leaf('int', fallback, options)
export const float = (fallback: number, options: KeyOptions): Leaf<number> => leaf('float', fallback, options)
export const text = <D extends string | undefined>(fallback: D, options: KeyOptions): Leaf<Fallback<D, string>> =>
  leaf('text', fallback, options)
export const texts = <D extends readonly string[] | undefined>(
  fallback: D,
  options: KeyOptions,
): Leaf<Fallback<D, readonly string[]>> => leaf('texts', fallback, options)
export const uint64s = (fallback: readonly bigint[], options: KeyOptions): Leaf<readonly bigint[]> =>
  leaf('uint64s', fallback, options)
/** Milliseconds; a Go duration or whole nanoseconds in files and JSON. */
export const duration = (fallback: number, options: KeyOptions): Leaf<number> => leaf('duration', fallback, options)

export const table = <const F extends Fields>(fields: F, options: TableOptions = {}): Table<F> => ({
  kind: 'table',
  fields,
  ...options,
})
export const optionalTable = <const F extends Fields>(fields: F, options: TableOptions = {}): OptionalTable<F> => ({
  kind: 'optionalTable',
  fields,
  ...options,
})
export const tables = <const F extends Fields>(fields: F, options: TableOptions = {}): Tables<F> => ({
  kind: 'tables',
  fields,
  ...options,
})

function leaf<T>(kind: LeafKind, fallback: unknown, options: KeyOptions): Leaf<T> {
  return { kind, fallback: fallback as T, ...options }
}

export const isLeaf = (node: KeyNode): node is Leaf<unknown> => 'fallback' in node

export const kebabCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
export const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** How a key is called in files and in the form kept in etcd. */
export const fileName = (property: string, node: KeyNode): string =>
  isLeaf(node) && node.file !== undefined ? node.file : kebabCase(property)

/** How a key is called in the HTTP API. */
export function apiName(property: string, node: KeyNode, parent: TableOptions): string {
  if (isLeaf(node) && node.api !== undefined) return node.api
  return parent.apiNames === 'kebab' ? fileName(property, node) : snakeCase(property)
}

/** The default of every key. */
export function defaultsOf<F extends Fields>(fields: F): Decoded<F> {
  const value: Record<string, unknown> = {}
  for (const [property, node] of Object.entries(fields)) {
    if (isLeaf(node)) value[property] = node.fallback
    else if (node.kind === 'table') value[property] = defaultsOf(node.fields)
    else value[property] = node.kind === 'tables' ? [] : undefined
  }
  return value as Decoded<F> // every property of F was set from its own node
}
