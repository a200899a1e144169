import { SqlError } from '../error.ts'

/** How strings compare and what bytes stand for them in index keys. */
export interface Collation {
  readonly name: string
  readonly id: number
  readonly charset: string
  readonly isDefault: boolean
  /** Bytes whose order is the collation's order. */
  sortKey(text: string | Uint8Array): Uint8Array
  compare(a: string | Uint8Array, b: string | Uint8Array): number
}

const bytesOf = (text: string | Uint8Array): Uint8Array => (typeof text === 'string' ? Buffer.from(text, 'utf8') : text)

/** PAD SPACE: trailing spaces do not count. */
function trimSpaces(bytes: Uint8Array): Uint8Array {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0x20) end--
  return bytes.subarray(0, end)
}

const padBinary = (text: string | Uint8Array): Uint8Array => trimSpaces(bytesOf(text))

/** utf8mb4_general_ci: two bytes per character, its upper-case base letter; characters beyond the BMP are all equal. */
function generalKey(text: string | Uint8Array): Uint8Array {
  const trimmed = (typeof text === 'string' ? text : Buffer.from(text).toString('utf8')).replace(/ +$/, '')
  const out: number[] = []
  for (const char of trimmed) {
    const weight = generalWeight(char)
    out.push(weight >> 8, weight & 0xff)
  }
  return Uint8Array.from(out)
}

const weights = new Map<string, number>()

function generalWeight(char: string): number {
  let weight = weights.get(char)
  if (weight === undefined) {
    const code = char.codePointAt(0) ?? 0
    const base = code > 0xffff ? '\ufffd' : code === 0xdf ? 'S' : baseLetter(char)
    weight = base.charCodeAt(0)
    weights.set(char, weight)
  }
  return weight
}

function baseLetter(char: string): string {
  const decomposed = char.normalize('NFD')
  const letter = decomposed.length > 1 && /^\p{L}\p{M}+$/u.test(decomposed) ? (decomposed[0] ?? char) : char
  const upper = letter.toUpperCase()
  return upper.length === 1 ? upper : letter
}

function collation(
  name: string,
  id: number,
  charset: string,
  isDefault: boolean,
  sortKey: Collation['sortKey'],
): Collation {
  return { name, id, charset, isDefault, sortKey, compare: (a, b) => Buffer.compare(sortKey(a), sortKey(b)) }
}

const ALL: readonly Collation[] = [
  collation('binary', 63, 'binary', true, bytesOf),
  collation('utf8mb4_bin', 46, 'utf8mb4', true, padBinary),
  collation('utf8mb4_general_ci', 45, 'utf8mb4', false, generalKey),
  collation('utf8mb4_0900_bin', 309, 'utf8mb4', false, bytesOf),
  collation('utf8_bin', 83, 'utf8', true, padBinary),
  collation('utf8_general_ci', 33, 'utf8', false, generalKey),
  collation('latin1_bin', 47, 'latin1', true, padBinary),
  collation('ascii_bin', 65, 'ascii', true, padBinary),
]
const byName = new Map(ALL.map((entry) => [entry.name, entry]))

export const allCollations = (): readonly Collation[] => ALL

/** The collation of that name; error 1273 for one that the playground does not have. */
export function findCollation(name: string): Collation {
  const found = byName.get(name.toLowerCase())
  if (found === undefined) throw new SqlError(1273, `Unsupported collation when new collation is enabled: '${name}'`)
  return found
}

/** TiDB's default collation of a charset; error 1115 for an unknown charset. */
export function defaultCollation(charset: string): Collation {
  const wanted = charset.toLowerCase() === 'utf8mb3' ? 'utf8' : charset.toLowerCase()
  const found = ALL.find((entry) => entry.charset === wanted && entry.isDefault)
  if (found === undefined) throw new SqlError(1115, `Unknown character set: '${charset}'`)
  return found
}

export const binaryCollation = defaultCollation('binary')
export const textCollation = defaultCollation('utf8mb4')
