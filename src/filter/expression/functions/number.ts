import { integerValue } from '../../../tidb/value.ts'
import { compileArithmetic } from '../arithmetic.ts'
import { asDecimal, asInteger, asReal } from '../convert.ts'
import { integerOfDecimal, roundDecimalTo, truncateDecimal, type Decimal } from '../decimal.ts'
import { type Evaluate, operand, type Operand } from '../operand.ts'
import { toNumeric } from '../unify.ts'
import { argument, define, type FunctionDefinition, type Functions, int, isConstant, real, strict } from './define.ts'

const toReal = (compute: (value: number) => number | null): FunctionDefinition =>
  define(1, 1, (args) =>
    real(
      strict([asReal(argument(args, 0))], (value) => finite(compute(value))),
      args,
    ),
  )

/** NULL where a function is not defined. */
const finite = (value: number | null): number | null => (value === null || Number.isNaN(value) ? null : value)

/** To a whole number: an integer for integers and decimals, a double for doubles. */
const toWhole = (round: (value: number) => number, exact: (value: Decimal) => bigint): FunctionDefinition =>
  define(1, 1, (args) => {
    const one = toNumeric(argument(args, 0))
    if (one.kind === 'int') return one
    if (one.kind === 'decimal')
      return int(
        strict([asDecimal(one)], (value) => integerValue(exact(value))),
        args,
      )
    return real(strict([asReal(one)], round), args)
  })

const floorOf = (value: Decimal): bigint => {
  const whole = truncateDecimal(value, 0).units
  return value.units < 0n && roundDecimalTo({ units: whole, scale: 0 }, value.scale).units !== value.units
    ? whole - 1n
    : whole
}
const ceilingOf = (value: Decimal): bigint => -floorOf({ units: -value.units, scale: value.scale })

const ceiling = toWhole(Math.ceil, ceilingOf)

/** ROUND and TRUNCATE. */
function cut(
  args: readonly Operand[],
  exact: (value: Decimal, scale: number) => Decimal,
  inexact: (value: number, scale: number) => number,
): Operand {
  const one = toNumeric(argument(args, 0))
  const digits: Evaluate<number | bigint> = args[1] === undefined ? () => 0 : asInteger(args[1])
  const limit = (value: number | bigint): number => Math.max(-65, Math.min(30, Number(value)))
  if (one.kind === 'int') {
    const evaluate = strict([asInteger(one), digits], (value, scale) =>
      limit(scale) >= 0
        ? value
        : integerValue(integerOfDecimal(exact({ units: BigInt(value), scale: 0 }, limit(scale)))),
    )
    return int(evaluate, args, one.unsigned)
  }
  if (one.kind === 'decimal') {
    const evaluate = strict([asDecimal(one), digits], (value, scale) => {
      const wanted = limit(scale)
      return exact(value, one.scale >= 0 ? Math.min(wanted, Math.max(one.scale, 0)) : Math.min(wanted, value.scale))
    })
    return operand('decimal', evaluate, { constant: isConstant(args) })
  }
  return real(
    strict([asReal(one), digits], (value, scale) => inexact(value, limit(scale))),
    args,
  )
}

function roundReal(value: number, scale: number): number {
  const unit = 10 ** scale
  const scaled = value * unit
  if (!Number.isFinite(scaled)) return value
  const floor = Math.floor(scaled)
  const rest = scaled - floor
  const rounded = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor
  return rounded / unit
}

const power = define(2, 2, (args) =>
  real(
    strict([asReal(argument(args, 0)), asReal(argument(args, 1))], (base, exponent) => finite(base ** exponent)),
    args,
  ),
)

const logarithm = (value: number): number | null => (value > 0 ? Math.log(value) : null)

export const NUMBER_FUNCTIONS: Functions = {
  abs: define(1, 1, (args) => {
    const one = toNumeric(argument(args, 0))
    if (one.kind === 'int')
      return int(
        strict([asInteger(one)], (value) => {
          const whole = value < 0 ? -BigInt(value) : value
          if (whole === 1n << 63n && !one.unsigned) throw new RangeError('BIGINT value is out of range in abs')
          return integerValue(BigInt(whole))
        }),
        args,
        one.unsigned,
      )
    if (one.kind === 'decimal') {
      const evaluate = strict([asDecimal(one)], ({ units, scale }) => ({ units: units < 0n ? -units : units, scale }))
      return operand('decimal', evaluate, { constant: isConstant(args), scale: one.scale })
    }
    return real(strict([asReal(one)], Math.abs), args)
  }),
  acos: toReal(Math.acos),
  asin: toReal(Math.asin),
  atan: toReal(Math.atan),
  bit_count: define(1, 1, (args) =>
    int(
      strict(
        [asInteger(argument(args, 0))],
        (value) => BigInt.asUintN(64, BigInt(value)).toString(2).replaceAll('0', '').length,
      ),
      args,
    ),
  ),
  ceil: ceiling,
  ceiling,
  cos: toReal(Math.cos),
  degrees: toReal((value) => (value * 180) / Math.PI),
  exp: toReal(Math.exp),
  floor: toWhole(Math.floor, floorOf),
  ln: toReal(logarithm),
  log: define(1, 2, (args) => {
    const [first, second] = args.map(asReal)
    if (first === undefined) throw new TypeError('log without argument')
    if (second === undefined) return real(strict([first], logarithm), args)
    const evaluate = strict([first, second], (base, value) =>
      base <= 0 || base === 1 || value <= 0 ? null : Math.log(value) / Math.log(base),
    )
    return real(evaluate, args)
  }),
  log10: toReal((value) => (value > 0 ? Math.log10(value) : null)),
  log2: toReal((value) => (value > 0 ? Math.log2(value) : null)),
  mod: define(2, 2, (args) => compileArithmetic('%', argument(args, 0), argument(args, 1))),
  pi: define(0, 0, () => real(() => Math.PI, [])),
  pow: power,
  power,
  radians: toReal((value) => (value * Math.PI) / 180),
  round: define(1, 2, (args) => cut(args, roundDecimalTo, roundReal)),
  sign: define(1, 1, (args) => int(strict([asReal(argument(args, 0))], Math.sign), args)),
  sin: toReal(Math.sin),
  sqrt: toReal((value) => (value < 0 ? null : Math.sqrt(value))),
  tan: toReal(Math.tan),
  truncate: define(2, 2, (args) =>
    cut(args, truncateDecimal, (value, scale) => {
      const scaled = value * 10 ** scale
      return Number.isFinite(scaled) ? Math.trunc(scaled) / 10 ** scale : value
    }),
  ),
}
