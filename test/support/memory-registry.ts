import { confluentHeader } from '../../src/codec/avro/envelope.ts'
import type { SchemaRegistry } from '../../src/codec/avro/registry.ts'

export interface MemoryRegistry extends SchemaRegistry {
  /** Subject → the texts registered under it, in order. */
  readonly subjects: ReadonlyMap<string, readonly string[]>
}

/** Gives every text an id, from 1 on. */
export function memoryRegistry(): MemoryRegistry {
  const texts: string[] = []
  const subjects = new Map<string, string[]>()
  return {
    subjects,
    async register(subject, schema) {
      const known = subjects.get(subject) ?? []
      subjects.set(subject, known)
      if (!known.includes(schema)) known.push(schema)
      if (!texts.includes(schema)) texts.push(schema)
      return confluentHeader(texts.indexOf(schema) + 1)
    },
    async schema(id) {
      const text = texts[Number(id) - 1]
      if (text === undefined) throw new RangeError(`no schema ${id}`)
      return text
    },
  }
}
