import { SqlError } from '../error.ts'
import { compareValues } from '../value/compare.ts'
import { Decimal } from '../value/decimal.ts'
import { toBoolean, toDouble, toNumeric } from '../value/value.ts'
import type { Value } from '../value/value.ts'
import { plain, strict } from './define.ts'
import type { Present } from './define.ts'
import type { FunctionEntry } from './functions.ts'
import { arithmetic } from './operators.ts'

function rounded(value: Present, digits: Present | undefined, how: 'round' | 'truncate'): Value {
  const number = toNumeric(value)
  const places = digits === undefined ? 0 : Math.trunc(toDouble(digits))
  if (typeof number === 'number') {
    const factor = 10 ** places
    const scaled = number * factor
    const whole = how === 'truncate' ? Math.trunc(scaled) : Math.sign(scaled) * Math.round(Math.abs(scaled))
    return Number.isFinite(whole / factor) ? whole / factor : number
  }
  const decimal = number instanceof Decimal ? number : Decimal.ofInteger(number)
  if (places < 0) {
    const unit = 10n ** BigInt(-places)
    const whole = decimal.truncate(0).unscaled
    const rest = how === 'round' ? (whole < 0n ? -unit / 2n : unit / 2n) : 0n
    return ((whole + rest) / unit) * unit
  }
  if (typeof number === 'bigint') return number
  return how === 'round' ? number.round(Math.min(30, places)) : number.truncate(Math.min(30, places))
}

function toward(value: Present, up: boolean): Value {
  const number = toNumeric(value)
  if (typeof number === 'bigint') return number
  if (typeof number === 'number') return up ? Math.ceil(number) : Math.floor(number)
  const whole = number.truncate(0).unscaled
  const exact = number.compare(Decimal.ofInteger(whole)) === 0
  if (exact || up !== number.unscaled > 0n) return whole
  return up ? whole + 1n : whole - 1n
}

function extreme(args: readonly Present[], sign: number): Value {
  return args.reduce((best, arg) => (compareValues(arg, best) * sign > 0 ? arg : best))
}

const real = (call: (value: number) => number): FunctionEntry =>
  strict(1, 1, (value) => {
    const result = call(toDouble(value))
    return Number.isFinite(result) ? result : null
  })

const absolute = (value: Present): Value => {
  const number = toNumeric(value)
  if (number instanceof Decimal) return number.unscaled < 0n ? number.negate() : number
  return number < 0 ? -number : number
}

export const NUMBER_FUNCTIONS: Readonly<Record<string, FunctionEntry>> = {
  ABS: strict(1, 1, absolute),
  CEIL: strict(1, 1, (value) => toward(value, true)),
  CEILING: strict(1, 1, (value) => toward(value, true)),
  FLOOR: strict(1, 1, (value) => toward(value, false)),
  ROUND: strict(1, 2, (value = 0n, digits) => rounded(value, digits, 'round')),
  TRUNCATE: strict(2, 2, (value = 0n, digits) => rounded(value, digits, 'truncate')),
  MOD: plain(2, 2, (a = null, b = null) => arithmetic('%', a, b, () => null)),
  POW: strict(2, 2, (a = 0n, b = 0n) => toDouble(a) ** toDouble(b)),
  POWER: strict(2, 2, (a = 0n, b = 0n) => toDouble(a) ** toDouble(b)),
  SQRT: real(Math.sqrt),
  EXP: real(Math.exp),
  LN: real(Math.log),
  LOG: real(Math.log),
  LOG2: real(Math.log2),
  LOG10: real(Math.log10),
  SIN: real(Math.sin),
  COS: real(Math.cos),
  PI: plain(0, 0, () => Math.PI),
  RAND: plain(0, 1, () => Math.random()),
  SIGN: strict(1, 1, (value) => BigInt(Math.sign(toDouble(value)))),
  GREATEST: strict(2, 4096, (...args) => extreme(args, 1)),
  LEAST: strict(2, 4096, (...args) => extreme(args, -1)),
  BIT_COUNT: strict(1, 1, (value) => {
    const number = toNumeric(value)
    const bits = BigInt.asUintN(64, typeof number === 'bigint' ? number : BigInt(Math.round(toDouble(number))))
    return BigInt(bits.toString(2).replaceAll('0', '').length)
  }),
  IF: plain(3, 3, (condition = null, then = null, otherwise = null) =>
    toBoolean(condition) === true ? then : otherwise,
  ),
  IFNULL: plain(2, 2, (value = null, otherwise = null) => value ?? otherwise),
  NULLIF: plain(2, 2, (a = null, b = null) => (a !== null && b !== null && compareValues(a, b) === 0 ? null : a)),
  COALESCE: plain(1, 4096, (...args) => args.find((arg) => arg !== null) ?? null),
  ISNULL: plain(1, 1, (value) => (value === null ? 1n : 0n)),
  INTERVAL: plain(2, 4096, () => {
    throw new SqlError(1235, "This version of the Tidewire playground doesn't yet support 'INTERVAL()'")
  }),
}
