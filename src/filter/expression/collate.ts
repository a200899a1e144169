import { isKnownCollation, sortKeyOf } from '../../tidb/collation.ts'
import { type Collation, isBinary, type Operand, RANK } from './operand.ts'

export const LITERAL_COLLATION: Collation = { name: 'utf8mb4_bin', rank: RANK.literal }
export const BINARY_LITERAL: Collation = { name: 'binary', rank: RANK.literal }

const encoder = new TextEncoder()

/**
 * The collation under which operands are compared or joined (MySQL's rules of coercibility). SyntaxError where they do not
 * go together.
 */
export function commonCollation(operands: readonly Operand[]): Collation {
  const texts = operands.filter(({ kind }) => kind === 'text' || kind === 'json')
  const [first, ...others] = texts
  if (first === undefined) return LITERAL_COLLATION
  return others.reduce((found, { collation }) => stronger(found, collation), first.collation)
}

function stronger(a: Collation, b: Collation): Collation {
  if (a.name === b.name) return a.rank <= b.rank ? a : b
  if (a.rank === RANK.explicit && b.rank === RANK.explicit) throw illegalMix(a, b)
  if (a.name === 'binary') return a.rank <= b.rank || b.rank > RANK.explicit ? a : b
  if (b.name === 'binary') return stronger(b, a)
  if (a.rank !== b.rank) return a.rank < b.rank ? a : b
  const [aBin, bBin] = [a.name.endsWith('_bin'), b.name.endsWith('_bin')]
  if (aBin !== bBin) return aBin ? a : b
  // Two columns that TiDB would refuse to compare: `_bin` is the least common ground of different character sets.
  if (charsetOf(a) !== charsetOf(b)) return { name: 'utf8mb4_bin', rank: RANK.mixed }
  throw illegalMix(a, b)
}

const charsetOf = ({ name }: Collation): string => name.replace(/_.*/, '')

const illegalMix = (a: Collation, b: Collation): SyntaxError =>
  new SyntaxError(`illegal mix of collations ${a.name} and ${b.name}`)

/** SyntaxError for a collation that is not known. */
export function checkedCollation(name: string): string {
  if (isKnownCollation(name)) return name
  throw new SyntaxError(`unknown collation '${name}'`)
}

/** Order of two texts under a collation; for `binary` both have one character per byte. */
export function compareTexts(collation: string): (a: string, b: string) => number {
  switch (collation) {
    case 'binary':
      return compareUnits
    case 'utf8mb4_0900_bin':
      return compareCodePoints
    case 'ascii_bin':
    case 'latin1_bin':
    case 'utf8_bin':
    case 'utf8mb4_bin':
      return (a, b) => (a === b ? 0 : compareCodePoints(unpadded(a), unpadded(b)))
    default:
      return (a, b) =>
        a === b ? 0 : Buffer.compare(sortKeyOf(collation, encoder.encode(a)), sortKeyOf(collation, encoder.encode(b)))
  }
}

const compareUnits = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Order of code points, which is the order of UTF-8 bytes; code units order surrogates before U+E000. */
function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (x !== y) return fixedUp(x) - fixedUp(y)
  }
  return a.length - b.length
}

/** Puts surrogates behind all other code units. */
const fixedUp = (unit: number): number => (unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit)

function unpadded(text: string): string {
  let end = text.length
  while (end > 0 && text.charCodeAt(end - 1) === 0x20) end--
  return end === text.length ? text : text.slice(0, end)
}

/** Characters that a collation holds equal have the same image; for LIKE, which compares one by one. */
export function characterFold(collation: string): (character: string) => string {
  if (isCaseSensitive(collation)) return (character) => character
  const known = new Map<string, string>([[' ', ' ']])
  return (character) => {
    let image = known.get(character)
    if (image === undefined) {
      image = Buffer.from(sortKeyOf(collation, encoder.encode(character))).toString('latin1')
      known.set(character, image)
    }
    return image
  }
}

export const isCaseSensitive = (collation: string): boolean => !collation.endsWith('_ci')

/** Both as the collation wants them: bytes for `binary`, else text. */
export const needsBytes = (collation: Collation, operands: readonly Operand[]): boolean =>
  collation.name === 'binary' && operands.some((one) => one.kind === 'text' && isBinary(one))
