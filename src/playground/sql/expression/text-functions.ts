import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'

import { compareValues } from '../value/compare.ts'
import { toBytes, toDecimal, toNumeric, toText } from '../value/value.ts'
import type { Value } from '../value/value.ts'
import { Decimal } from '../value/decimal.ts'
import { plain, strict } from './define.ts'
import type { Present } from './define.ts'
import type { FunctionEntry } from './functions.ts'

const integer = (value: Present): number => {
  const number = toNumeric(value)
  return Number(
    number instanceof Decimal ? number.toBigInt() : typeof number === 'number' ? Math.round(number) : number,
  )
}
const characters = (value: Present): string[] => Array.from(toText(value))
const zero = 0n

/** Text or bytes cut alike: bytes stay bytes. */
function slice(value: Present, from: number, to: number | undefined): Value {
  return value instanceof Uint8Array ? value.subarray(from, to) : characters(value).slice(from, to).join('')
}

const lengthOf = (value: Present): number => (value instanceof Uint8Array ? value.length : characters(value).length)

function substring(value: Present, position: Present, count?: Present): Value {
  const length = lengthOf(value)
  const at = integer(position)
  const from = at > 0 ? at - 1 : at === 0 ? length : length + at
  if (from < 0) return ''
  return slice(value, from, count === undefined ? undefined : from + Math.max(0, integer(count)))
}

function pad(value: Present, width: Present, filler: Present, left: boolean): Value {
  const wanted = integer(width)
  const text = characters(value)
  if (wanted < 0) return null
  if (text.length >= wanted) return text.slice(0, wanted).join('')
  const fill = characters(filler)
  if (fill.length === 0) return null
  const added = Array.from({ length: wanted - text.length }, (_, i) => fill[i % fill.length] ?? '').join('')
  return left ? added + text.join('') : text.join('') + added
}

function trim(value: Present, what: Present = ' ', side: Present = 'BOTH'): Value {
  let text = toText(value)
  const unit = toText(what)
  if (unit === '') return text
  while (side !== 'TRAILING' && text.startsWith(unit)) text = text.slice(unit.length)
  while (side !== 'LEADING' && text.endsWith(unit)) text = text.slice(0, -unit.length)
  return text
}

function locate(needle: Present, text: Present, from: Present = 1n): Value {
  const before = characters(text)
    .slice(0, Math.max(0, integer(from) - 1))
    .join('').length
  const at = toText(text).indexOf(toText(needle), before)
  return at < 0 ? zero : BigInt(Array.from(toText(text).slice(0, at)).length + 1)
}

const hash = (algorithm: string) => strict(1, 1, (value) => createHash(algorithm).update(toBytes(value)).digest('hex'))

function hex(value: Present): Value {
  const isNumber = typeof value === 'bigint' || typeof value === 'number' || value instanceof Decimal
  if (!isNumber) return Buffer.from(toBytes(value)).toString('hex').toUpperCase()
  const whole = typeof value === 'bigint' ? value : toDecimal(value).toBigInt()
  return BigInt.asUintN(64, whole).toString(16).toUpperCase()
}

const concat = (args: readonly Present[]): Value =>
  args.some((arg) => arg instanceof Uint8Array) ? Buffer.concat(args.map(toBytes)) : args.map(toText).join('')

export const TEXT_FUNCTIONS: Readonly<Record<string, FunctionEntry>> = {
  CONCAT: strict(1, 4096, (...args) => concat(args)),
  CONCAT_WS: plain(2, 4096, (separator, ...args) =>
    separator === null || separator === undefined
      ? null
      : args.flatMap((arg) => (arg === null ? [] : [toText(arg)])).join(toText(separator)),
  ),
  LENGTH: strict(1, 1, (value) => BigInt(toBytes(value).length)),
  OCTET_LENGTH: strict(1, 1, (value) => BigInt(toBytes(value).length)),
  CHAR_LENGTH: strict(1, 1, (value) => BigInt(lengthOf(value))),
  CHARACTER_LENGTH: strict(1, 1, (value) => BigInt(lengthOf(value))),
  BIT_LENGTH: strict(1, 1, (value) => BigInt(toBytes(value).length * 8)),
  UPPER: strict(1, 1, (value) => toText(value).toUpperCase()),
  UCASE: strict(1, 1, (value) => toText(value).toUpperCase()),
  LOWER: strict(1, 1, (value) => toText(value).toLowerCase()),
  LCASE: strict(1, 1, (value) => toText(value).toLowerCase()),
  SUBSTRING: strict(2, 3, (value, position, count) => substring(value ?? '', position ?? 1n, count)),
  SUBSTR: strict(2, 3, (value, position, count) => substring(value ?? '', position ?? 1n, count)),
  MID: strict(3, 3, (value, position, count) => substring(value ?? '', position ?? 1n, count)),
  LEFT: strict(2, 2, (value, count) => slice(value ?? '', 0, Math.max(0, integer(count ?? zero)))),
  RIGHT: strict(2, 2, (value = '', count = zero) =>
    slice(value, Math.max(0, lengthOf(value) - Math.max(0, integer(count))), undefined),
  ),
  TRIM: strict(1, 3, (value = '', what, side) => trim(value, what, side)),
  LTRIM: strict(1, 1, (value) => toText(value).replace(/^ +/, '')),
  RTRIM: strict(1, 1, (value) => toText(value).replace(/ +$/, '')),
  REPLACE: strict(3, 3, (value = '', from = '', to = '') =>
    toText(from) === '' ? toText(value) : toText(value).replaceAll(toText(from), () => toText(to)),
  ),
  REPEAT: strict(2, 2, (value = '', count = zero) => {
    const times = Math.max(0, integer(count))
    return value instanceof Uint8Array
      ? Buffer.concat(Array.from({ length: times }, () => value))
      : toText(value).repeat(times)
  }),
  REVERSE: strict(1, 1, (value) => characters(value).toReversed().join('')),
  SPACE: strict(1, 1, (count) => ' '.repeat(Math.max(0, integer(count)))),
  LPAD: strict(3, 3, (value = '', width = zero, filler = '') => pad(value, width, filler, true)),
  RPAD: strict(3, 3, (value = '', width = zero, filler = '') => pad(value, width, filler, false)),
  INSTR: strict(2, 2, (text = '', needle = '') => locate(needle, text)),
  LOCATE: strict(2, 3, (needle = '', text = '', from) => locate(needle, text, from)),
  POSITION: strict(2, 2, (needle = '', text = '') => locate(needle, text)),
  HEX: strict(1, 1, hex),
  UNHEX: strict(1, 1, (value) => {
    const digits = toText(value)
    return /^[0-9a-fA-F]*$/.test(digits) ? Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex') : null
  }),
  ASCII: strict(1, 1, (value) => BigInt(toBytes(value)[0] ?? 0)),
  ORD: strict(1, 1, (value) => BigInt(toBytes(value)[0] ?? 0)),
  CHAR: strict(1, 4096, (...codes) => Buffer.from(codes.map((code) => integer(code) & 0xff))),
  BIN: strict(1, 1, (value) => BigInt.asUintN(64, toDecimal(value).toBigInt()).toString(2)),
  FIELD: plain(2, 4096, (wanted, ...items) =>
    BigInt(
      items.findIndex(
        (item) => wanted !== null && wanted !== undefined && item !== null && compareValues(item, wanted) === 0,
      ) + 1,
    ),
  ),
  ELT: plain(2, 4096, (index, ...items) =>
    index === null || index === undefined ? null : (items[integer(index) - 1] ?? null),
  ),
  FIND_IN_SET: strict(2, 2, (wanted = '', list = '') => BigInt(toText(list).split(',').indexOf(toText(wanted)) + 1)),
  SUBSTRING_INDEX: strict(3, 3, (value = '', separator = '', count = zero) => {
    const parts = toText(value).split(toText(separator))
    const wanted = integer(count)
    return (wanted >= 0 ? parts.slice(0, wanted) : parts.slice(wanted)).join(toText(separator))
  }),
  STRCMP: strict(2, 2, (a = '', b = '') => BigInt(Math.sign(compareValues(toText(a), toText(b))))),
  MD5: hash('md5'),
  SHA: hash('sha1'),
  SHA1: hash('sha1'),
  SHA2: strict(2, 2, (value = '', bits = 256n) => {
    const size = integer(bits) || 256
    return [224, 256, 384, 512].includes(size) ? createHash(`sha${size}`).update(toBytes(value)).digest('hex') : null
  }),
  CRC32: strict(1, 1, (value) => BigInt(crc32(toBytes(value)))),
  TO_BASE64: strict(1, 1, (value) => Buffer.from(toBytes(value)).toString('base64')),
  FROM_BASE64: strict(1, 1, (value) => Buffer.from(toText(value), 'base64')),
  QUOTE: plain(1, 1, (value) =>
    value === null || value === undefined
      ? 'NULL'
      : `'${toText(value).replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`,
  ),
}
