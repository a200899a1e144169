import { ByteWriter } from './byte-writer.ts'
import { ENTRY, JsonCode, KEY_ENTRY, MAX_DEPTH } from './json-binary.ts'
import { compareBytes } from './key.ts'

const MIN_INT = -(2n ** 63n)
const MAX_INT = 2n ** 63n - 1n
const MAX_UINT = 2n ** 64n - 1n
const utf8 = new TextEncoder()

/**
 * Binary form (type code, then value) of JSON text. Numbers become int64, uint64 or double as in TiDB; of equal keys
 * the last one stays. SyntaxError where the text is not JSON or is nested too deep.
 */
export function encodeJson(text: string): Uint8Array {
  const parser = new JsonParser(text)
  const node = parser.document()
  const writer = new ByteWriter(text.length + 16)
  writer.u8(node.code)
  writeNode(writer, node)
  return writer.finish()
}

/** A parsed value: scalars hold their bytes, containers their members (objects sorted by key). */
type JsonNode =
  | { readonly code: number; readonly bytes: Uint8Array }
  | { readonly code: typeof JsonCode.Array; readonly items: readonly JsonNode[] }
  | { readonly code: typeof JsonCode.Object; readonly keys: readonly Uint8Array[]; readonly items: readonly JsonNode[] }

function writeNode(writer: ByteWriter, node: JsonNode): void {
  if ('bytes' in node) {
    writer.append(node.bytes)
    return
  }
  const start = writer.length
  writer.u32le(node.items.length).u32le(0)
  const keys = 'keys' in node ? node.keys : []
  let keyOffset = 8 + keys.length * KEY_ENTRY + node.items.length * ENTRY
  for (const key of keys) {
    writer.u32le(keyOffset).u16le(key.length)
    keyOffset += key.length
  }
  const entries = writer.length
  for (const item of node.items) {
    const literal = item.code === JsonCode.Literal && 'bytes' in item ? (item.bytes[0] ?? 0) : 0
    writer.u8(item.code).u32le(literal)
  }
  for (const key of keys) writer.append(key)
  for (const [i, item] of node.items.entries()) {
    if (item.code === JsonCode.Literal) continue
    writer.patchU32le(entries + i * ENTRY + 1, writer.length - start)
    writeNode(writer, item)
  }
  writer.patchU32le(start + 4, writer.length - start)
}

class JsonParser {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): JsonNode {
    const node = this.#value(0)
    this.#blanks()
    if (this.#at < this.#text.length) throw this.#fault()
    return node
  }

  #value(depth: number): JsonNode {
    if (depth > MAX_DEPTH) throw new SyntaxError(`JSON is nested more than ${MAX_DEPTH} deep`)
    this.#blanks()
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#array(depth)
      case '"':
        return stringNode(this.#string())
      case 'n':
        return this.#literal('null', 0)
      case 't':
        return this.#literal('true', 1)
      case 'f':
        return this.#literal('false', 2)
      default:
        return this.#number()
    }
  }

  #object(depth: number): JsonNode {
    const members = new Map<string, JsonNode>()
    this.#at++
    this.#blanks()
    if (!this.#skip('}')) {
      do {
        this.#blanks()
        const key = this.#string()
        this.#blanks()
        if (!this.#skip(':')) throw this.#fault()
        members.set(key, this.#value(depth + 1))
        this.#blanks()
      } while (this.#skip(','))
      if (!this.#skip('}')) throw this.#fault()
    }
    const sorted = [...members].map(([key, node]) => ({ key: utf8.encode(key), node }))
    sorted.sort((a, b) => compareBytes(a.key, b.key))
    if (sorted.some(({ key }) => key.length > 0xffff))
      throw new SyntaxError('JSON object key is longer than 65535 bytes')
    return { code: JsonCode.Object, keys: sorted.map(({ key }) => key), items: sorted.map(({ node }) => node) }
  }

  #array(depth: number): JsonNode {
    const items: JsonNode[] = []
    this.#at++
    this.#blanks()
    if (!this.#skip(']')) {
      do {
        items.push(this.#value(depth + 1))
        this.#blanks()
      } while (this.#skip(','))
      if (!this.#skip(']')) throw this.#fault()
    }
    return { code: JsonCode.Array, items }
  }

  #string(): string {
    const token = /"(?:[^"\\]|\\.)*"/sy
    token.lastIndex = this.#at
    const [found] = token.exec(this.#text) ?? []
    if (found === undefined) throw this.#fault()
    this.#at += found.length
    return JSON.parse(found) as string
  }

  #number(): JsonNode {
    const token = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y
    token.lastIndex = this.#at
    const match = token.exec(this.#text)
    if (match === null) throw this.#fault()
    this.#at += match[0].length
    return numberNode(match[0], match[1] === undefined && match[2] === undefined)
  }

  #literal(word: string, code: number): JsonNode {
    if (!this.#text.startsWith(word, this.#at)) throw this.#fault()
    this.#at += word.length
    return { code: JsonCode.Literal, bytes: Uint8Array.of(code) }
  }

  #blanks(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? '.')) this.#at++
  }

  #skip(unit: string): boolean {
    const found = this.#text[this.#at] === unit
    if (found) this.#at++
    return found
  }

  #fault(): SyntaxError {
    return new SyntaxError(`invalid JSON text at position ${this.#at}`)
  }
}

function stringNode(text: string): JsonNode {
  const bytes = utf8.encode(text)
  const writer = new ByteWriter(bytes.length + 5)
  return { code: JsonCode.String, bytes: writer.uvarint(BigInt(bytes.length)).append(bytes).finish() }
}

function numberNode(text: string, integer: boolean): JsonNode {
  const writer = new ByteWriter(8)
  const value = integer ? BigInt(text) : 0n
  if (integer && value >= MIN_INT && value <= MAX_INT)
    return { code: JsonCode.Int64, bytes: writer.u64le(value).finish() }
  if (integer && value > MAX_INT && value <= MAX_UINT)
    return { code: JsonCode.Uint64, bytes: writer.u64le(value).finish() }
  const double = Number(text)
  if (!Number.isFinite(double)) throw new SyntaxError(`JSON number ${text} is out of range`)
  return { code: JsonCode.Double, bytes: writer.f64le(double).finish() }
}
