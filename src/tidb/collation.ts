import iconv from 'iconv-lite'

/**
 * Sort keys: the bytes that stand for a string in index keys and clustered keys. `_bin` collations and
 * utf8mb4_general_ci follow TiDB pkg/util/collate; the keys of unicode_ci, 0900_ai_ci and chinese_ci equate and order common text
 * alike, but their weights are our own: no reader takes text from such a key, since the row stores the column in full.
 */
type SortKey = (bytes: Uint8Array) => Uint8Array

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

const whole: SortKey = (bytes) => bytes

const padded: SortKey = (bytes) => {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0x20) end--
  return bytes.subarray(0, end)
}

const encoded =
  (charset: 'gbk' | 'gb18030'): SortKey =>
  (bytes) =>
    iconv.encode(decoder.decode(padded(bytes)), charset)

const encodedCi =
  (charset: 'gbk' | 'gb18030'): SortKey =>
  (bytes) =>
    iconv.encode(decoder.decode(padded(bytes)).toUpperCase(), charset)

const generalCi: SortKey = (bytes) => weights(decoder.decode(padded(bytes)), generalWeight)

const unicodeCi: SortKey = (bytes) => unaccented(decoder.decode(padded(bytes)))

const unicodeCiNoPad: SortKey = (bytes) => unaccented(decoder.decode(bytes))

const SORT_KEYS: Readonly<Record<string, SortKey>> = {
  binary: whole,
  ascii_bin: padded,
  latin1_bin: padded,
  utf8_bin: padded,
  utf8mb4_bin: padded,
  utf8mb4_0900_bin: whole,
  gbk_bin: encoded('gbk'),
  gbk_chinese_ci: encodedCi('gbk'),
  gb18030_bin: encoded('gb18030'),
  gb18030_chinese_ci: encodedCi('gb18030'),
  utf8_general_ci: generalCi,
  utf8mb4_general_ci: generalCi,
  utf8_unicode_ci: unicodeCi,
  utf8mb4_unicode_ci: unicodeCi,
  utf8mb4_0900_ai_ci: unicodeCiNoPad,
}

/** Whether {@link sortKeyOf} knows the collation. */
export const isKnownCollation = (collate: string): boolean => Object.hasOwn(SORT_KEYS, collate)

/** The sort key of stored bytes; an unnamed collation is binary. RangeError for a collation that is not known. */
export function sortKeyOf(collate: string, bytes: Uint8Array): Uint8Array {
  const sortKey = SORT_KEYS[collate === '' ? 'binary' : collate]
  if (sortKey === undefined) throw new RangeError(`unknown collation ${collate}`)
  return sortKey(bytes)
}

/** Two bytes per character. */
function weights(text: string, weightOf: (character: string) => number): Uint8Array {
  const characters = Array.from(text)
  const out = new Uint8Array(characters.length * 2)
  for (const [i, character] of characters.entries()) {
    const weight = weightOf(character)
    out[i * 2] = weight >> 8
    out[i * 2 + 1] = weight & 0xff
  }
  return out
}

/** Upper case without accents for Latin and Greek, upper case elsewhere, U+FFFD beyond the first plane. */
function generalWeight(character: string): number {
  const code = character.codePointAt(0) ?? 0
  if (code > 0xffff) return 0xfffd
  const accented = code < 0x400 || (code >= 0x1e00 && code < 0x2000)
  const [base = character] = accented ? character.normalize('NFD') : character
  const upper = base.toUpperCase()
  return (upper.length === base.length || base === 'ß' ? upper : base).charCodeAt(0)
}

const unaccented = (text: string): Uint8Array =>
  weights(text.normalize('NFKD').replace(/\p{M}/gu, '').toUpperCase(), (character) =>
    Math.min(0xffff, character.codePointAt(0) ?? 0),
  )
