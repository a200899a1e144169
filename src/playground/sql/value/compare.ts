import { textCollation } from './collation.ts'
import type { Collation } from './collation.ts'
import { Decimal } from './decimal.ts'
import { formatJson } from './json.ts'
import { parseDateTimeText, parseDurationText, toMicros } from './time.ts'
import type { DateTime, DateTimeParts } from './time.ts'
import { toBytes, toDecimal, toDouble, toNumeric, toText } from './value.ts'
import type { Value } from './value.ts'

type Present = Exclude<Value, null>

export const isDateTime = (value: Present): value is DateTime =>
  typeof value === 'object' &&
  'type' in value &&
  (value.type === 'date' || value.type === 'datetime' || value.type === 'timestamp')

const isStringLike = (value: Present): boolean =>
  typeof value === 'string' ||
  value instanceof Uint8Array ||
  (typeof value === 'object' &&
    'type' in value &&
    (value.type === 'enum' || value.type === 'set' || value.type === 'bits'))

/** Orders two values by MySQL's rules for comparing unlike types. */
export function compareValues(a: Present, b: Present, collation: Collation = textCollation): number {
  if (typeof a === 'bigint' && typeof b === 'bigint') return a < b ? -1 : a > b ? 1 : 0
  if (typeof a === 'string' && typeof b === 'string') return collation.compare(a, b)
  if (isJson(a) || isJson(b)) return compareText(jsonText(a), jsonText(b))
  if (isDateTime(a) || isDateTime(b)) {
    const left = momentOf(a)
    const right = momentOf(b)
    if (left !== undefined && right !== undefined) return left < right ? -1 : left > right ? 1 : 0
  }
  if (isTime(a) || isTime(b)) {
    const left = microsOf(a)
    const right = microsOf(b)
    if (left !== undefined && right !== undefined) return left < right ? -1 : left > right ? 1 : 0
  }
  if (isStringLike(a) && isStringLike(b))
    return a instanceof Uint8Array || b instanceof Uint8Array
      ? Buffer.compare(toBytes(a), toBytes(b))
      : collation.compare(toText(a), toText(b))
  return compareNumbers(a, b)
}

function compareNumbers(a: Present, b: Present): number {
  const left = toNumeric(a)
  const right = toNumeric(b)
  if (typeof left === 'number' || typeof right === 'number') {
    const x = toDouble(left)
    const y = toDouble(right)
    return x < y ? -1 : x > y ? 1 : 0
  }
  if (left instanceof Decimal || right instanceof Decimal) return toDecimal(left).compare(toDecimal(right))
  return left < right ? -1 : left > right ? 1 : 0
}

const isJson = (value: Present): boolean => typeof value === 'object' && 'type' in value && value.type === 'json'
const isTime = (value: Present): boolean => typeof value === 'object' && 'type' in value && value.type === 'time'

/** A scalar beside a JSON document counts as JSON of itself. */
function jsonText(value: Present): string {
  if (typeof value === 'object' && 'type' in value && value.type === 'json') return formatJson(value.value)
  return typeof value === 'string' ? formatJson(value) : toText(value)
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Parts as one ordered integer; zero and invalid dates have their place too. */
const orderOf = (value: DateTimeParts): bigint =>
  value.month === 0 || value.day === 0
    ? BigInt(value.year * 10_000 + value.month * 100 + value.day) - 10n ** 18n
    : toMicros(value)

function momentOf(value: Present): bigint | undefined {
  if (isDateTime(value)) return orderOf(value)
  const parts = parseDateTimeText(toText(value))
  return parts === undefined ? undefined : orderOf(parts)
}

function microsOf(value: Present): number | undefined {
  if (typeof value === 'object' && 'type' in value && value.type === 'time') return value.micros
  return parseDurationText(toText(value))?.micros
}
