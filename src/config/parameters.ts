import type { ErrorCode } from '../base/errors.ts'
import { parseGoBool, parseGoDuration, parseInteger } from './go-values.ts'
import { isLeaf, kebabCase, type Fields, type KeyNode } from './key-table.ts'
import type { SinkTable } from './replica-config.ts'
import type { SinkFaults } from './sink-faults.ts'

/** Values that a URI's parameters and a table of the file give together: the URI wins wherever it names a key. */
export interface Parameters {
  text(property: string): string | undefined
  int(property: string): number | undefined
  bool(property: string): boolean | undefined
  /** Milliseconds of a duration. */
  duration(property: string): number | undefined
}

export interface ParameterSource {
  readonly uri: ReadonlyMap<string, string>
  readonly file: SinkTable | undefined
  readonly keys: Fields
  /** Code of a value that cannot be read. */
  readonly code: ErrorCode
  readonly faults: SinkFaults
}

/** Reads parameters by property name; unset ones have the `implied` value of their key. */
export function readParameters({ uri, file, keys, code, faults }: ParameterSource): Parameters {
  const given = (property: string): { text: string } | { value: unknown } => {
    const text = uri.get(kebabCase(property))
    if (text !== undefined) return { text }
    return { value: file?.[property] ?? implied(keys[property]) }
  }
  const read = <T>(property: string, what: string, parse: (text: string) => T | undefined): T | undefined => {
    const found = given(property)
    const text = 'text' in found ? found.text : found.value
    if (typeof text !== 'string') return undefined
    const value = parse(text)
    if (value === undefined) faults.add(code, `${kebabCase(property)} ${JSON.stringify(text)} is not ${what}`)
    return value
  }
  return {
    text(property) {
      const found = given(property)
      if ('text' in found) return found.text
      return typeof found.value === 'string' ? found.value : undefined
    },
    int(property) {
      const found = given(property)
      if ('value' in found && typeof found.value === 'number') return found.value
      return read(property, 'a whole number', (text) => (text === '' ? 0 : parseInteger(text)))
    },
    bool(property) {
      const found = given(property)
      if ('value' in found && typeof found.value === 'boolean') return found.value
      return read(property, 'true or false', (text) => (text === '' ? false : parseGoBool(text)))
    },
    duration(property) {
      const found = given(property)
      const text = 'text' in found ? found.text : found.value
      if (text !== '') return read(property, 'a duration such as 10s', parseGoDuration)
      const fallback = implied(keys[property])
      return typeof fallback === 'string' ? parseGoDuration(fallback) : undefined
    },
  }
}

const implied = (node: KeyNode | undefined): unknown =>
  node !== undefined && isLeaf(node) ? (node.fallback ?? node.implied) : undefined
