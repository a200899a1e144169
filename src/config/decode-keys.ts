import { parseGoDuration } from './go-values.ts'
import { isLeaf, type Decoded, type Fields, type KeyNode, type Leaf, type TableOptions } from './key-table.ts'

/** Something in the input that does not fit the table. `path` is in the input's own names, below the root. */
export type ConfigFault =
  | { readonly kind: 'unknown'; readonly path: readonly string[] }
  | { readonly kind: 'retired'; readonly path: readonly string[]; readonly why: string }
  | { readonly kind: 'type'; readonly path: readonly string[]; readonly wanted: string; readonly found: string }
  | { readonly kind: 'value'; readonly path: readonly string[]; readonly problem: string }

export interface KeySource {
  /** What the input calls a property. */
  nameOf(property: string, node: KeyNode, parent: TableOptions): string
  report(fault: ConfigFault): void
}

type Raw = Readonly<Record<string, unknown>>

/**
 * Reads `raw` over `base`: a missing (or null) key keeps the base's value, tables are merged, arrays replaced. Names
 * match exactly, else without regard to case. Every fault is reported; a faulty key keeps the base's value.
 */
export function decodeKeys<F extends Fields>(
  table: TableOptions & { readonly fields: F },
  raw: Raw,
  base: object,
  source: KeySource,
): Decoded<F> {
  return decodeTable(table, raw, { ...base }, source, []) as Decoded<F> // each property was checked against its node, or is base's
}

/** True for objects that are tables: not arrays, dates or null. */
export function isTable(value: unknown): value is Raw {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function decodeTable(
  table: TableOptions & { readonly fields: Fields },
  raw: Raw,
  base: Raw | undefined,
  source: KeySource,
  path: readonly string[],
): Raw {
  const properties = new Map<string, readonly [string, KeyNode]>()
  for (const [property, node] of Object.entries(table.fields))
    properties.set(source.nameOf(property, node, table), [property, node])
  const value: Record<string, unknown> = {}
  for (const [property, node] of Object.entries(table.fields)) value[property] = base?.[property] ?? blank(node)
  for (const [name, given] of Object.entries(raw)) {
    const at = [...path, name]
    const [property, node] = properties.get(name) ?? properties.get(name.toLowerCase()) ?? []
    if (property === undefined || node === undefined) reportStranger(table, at, given, source)
    else if (given !== null) value[property] = decodeNode(node, given, value[property], source, at)
  }
  return value
}

function blank(node: KeyNode): unknown {
  if (isLeaf(node)) return node.fallback
  if (node.kind === 'tables') return []
  if (node.kind === 'optionalTable') return undefined
  return Object.fromEntries(Object.entries(node.fields).map(([property, child]) => [property, blank(child)]))
}

function reportStranger(table: TableOptions, path: readonly string[], given: unknown, source: KeySource): void {
  const why = table.retired?.[path.at(-1)?.toLowerCase() ?? '']
  if (why !== undefined) return source.report({ kind: 'retired', path, why })
  source.report({ kind: 'unknown', path })
  if (isTable(given))
    for (const [name, child] of Object.entries(given)) reportStranger({}, [...path, name], child, source)
}

function decodeNode(node: KeyNode, given: unknown, base: unknown, source: KeySource, path: readonly string[]): unknown {
  const wrongType = (wanted: string): unknown => {
    source.report({ kind: 'type', path, wanted, found: typeName(given) })
    return base
  }
  if (isLeaf(node)) return decodeLeaf(node, given, base, source, path)
  if (node.kind !== 'tables')
    return isTable(given)
      ? decodeTable(node, given, isTable(base) ? base : undefined, source, path)
      : wrongType('table')
  if (!Array.isArray(given)) return wrongType('slice')
  const elements: readonly unknown[] = given
  return elements.map((element) => {
    if (isTable(element)) return decodeTable(node, element, undefined, source, path)
    return wrongType('table')
  })
}

function decodeLeaf(
  leaf: Leaf<unknown>,
  given: unknown,
  base: unknown,
  source: KeySource,
  path: readonly string[],
): unknown {
  const fault = (problem: string): unknown => {
    source.report({ kind: 'value', path, problem })
    return base
  }
  const wrongType = (wanted: string, found: unknown): unknown => {
    source.report({ kind: 'type', path, wanted, found: typeName(found) })
    return base
  }
  switch (leaf.kind) {
    case 'bool':
      return typeof given === 'boolean' ? given : wrongType('boolean', given)
    case 'text':
      return typeof given === 'string' ? given : wrongType('string', given)
    case 'float':
      return typeof given === 'number' || typeof given === 'bigint' ? Number(given) : wrongType('float', given)
    case 'int':
      if (!isInteger(given)) return wrongType('integer', given)
      if (leaf.unsigned === true && given < 0) return fault(`${given} is negative`)
      if (Number.isSafeInteger(Number(given))) return Number(given)
      return leaf.unsigned === true ? Number.MAX_SAFE_INTEGER : fault(`${given} is out of range`)
    case 'duration':
      if (isInteger(given)) return Number(given) / 1e6
      if (typeof given !== 'string') return wrongType('duration', given)
      return parseGoDuration(given) ?? fault(`invalid duration ${JSON.stringify(given)}`)
    case 'texts':
    case 'uint64s': {
      if (!Array.isArray(given)) return wrongType('slice', given)
      const elements: readonly unknown[] = given
      if (leaf.kind === 'texts') {
        const stranger = elements.find((element) => typeof element !== 'string')
        return stranger === undefined ? elements : wrongType('string', stranger)
      }
      const stranger = elements.find((element) => !isInteger(element))
      if (stranger !== undefined) return wrongType('integer', stranger)
      const numbers = elements.filter(isInteger).map(BigInt)
      const negative = numbers.find((value) => value < 0n)
      return negative === undefined ? numbers : fault(`${negative} is negative`)
    }
  }
}

const isInteger = (value: unknown): value is number | bigint => typeof value === 'bigint' || Number.isInteger(value)

/** The name that the TOML library of TiCDC gives a value's type. */
export function typeName(value: unknown): string {
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'bigint' || Number.isInteger(value)) return 'int64'
  if (typeof value === 'number') return 'float64'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'string') return 'string'
  return isTable(value) ? 'table' : 'datetime'
}
