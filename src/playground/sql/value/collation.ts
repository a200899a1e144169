import { sortKeyOf } from '../../../tidb/collation.ts'
import { SqlError } from '../error.ts'

/** A collation that TiDB has with the new collation framework on; its weights are in `tidb/collation.ts`. */
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

function collation(name: string, id: number, charset: string, isDefault = false): Collation {
  const sortKey = (text: string | Uint8Array): Uint8Array => sortKeyOf(name, bytesOf(text))
  return { name, id, charset, isDefault, sortKey, compare: (a, b) => Buffer.compare(sortKey(a), sortKey(b)) }
}

const ALL: readonly Collation[] = [
  collation('binary', 63, 'binary', true),
  collation('utf8mb4_bin', 46, 'utf8mb4', true),
  collation('utf8mb4_general_ci', 45, 'utf8mb4'),
  collation('utf8mb4_unicode_ci', 224, 'utf8mb4'),
  collation('utf8mb4_0900_ai_ci', 255, 'utf8mb4'),
  collation('utf8mb4_0900_bin', 309, 'utf8mb4'),
  collation('utf8_bin', 83, 'utf8', true),
  collation('utf8_general_ci', 33, 'utf8'),
  collation('utf8_unicode_ci', 192, 'utf8'),
  collation('latin1_bin', 47, 'latin1', true),
  collation('ascii_bin', 65, 'ascii', true),
  collation('gbk_chinese_ci', 28, 'gbk', true),
  collation('gbk_bin', 87, 'gbk'),
  collation('gb18030_chinese_ci', 248, 'gb18030', true),
  collation('gb18030_bin', 249, 'gb18030'),
]
const byName = new Map(ALL.map((entry) => [entry.name, entry]))

export const allCollations = (): readonly Collation[] => ALL

/** The collation of that name; error 1273 for one that TiDB does not have. */
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

/** Bytes that a character of the charset takes at most, for limits of lengths. */
export const bytesPerCharacter = (charset: string): number =>
  charset === 'utf8mb4' || charset === 'gb18030' ? 4 : charset === 'utf8' ? 3 : charset === 'gbk' ? 2 : 1

export const binaryCollation = defaultCollation('binary')
export const textCollation = defaultCollation('utf8mb4')
