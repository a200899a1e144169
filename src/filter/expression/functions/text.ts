import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { commonCollation, compareTexts } from '../collate.ts'
import { asBytes, asInteger, asText, textOfBytes } from '../convert.ts'
import { compileRegexp } from '../match.ts'
import { type Collation, type Evaluate, type Operand, RANK } from '../operand.ts'
import { argument, define, type FunctionDefinition, type Functions, int, strict, text } from './define.ts'

const BINARY: Collation = { name: 'binary', rank: RANK.literal }

/** The first argument's collation, or that of all texts where several are joined; a number is plain text. */
function collationOf(args: readonly Operand[]): Collation {
  const texts = args.filter(({ kind }) => kind === 'text' || kind === 'json')
  return commonCollation(texts)
}

/** Arguments as texts of one collation. */
function texts(args: readonly Operand[]): {
  readonly values: readonly Evaluate<string>[]
  readonly collation: Collation
} {
  const collation = collationOf(args)
  return { collation, values: args.map(collation.name === 'binary' ? asBytes : asText) }
}

/** Text → text; characters are code points, or bytes of a binary string. */
const mapText = (convert: (characters: readonly string[]) => string): FunctionDefinition =>
  define(1, 1, (args) => {
    const { values, collation } = texts(args)
    return text(
      strict([first(values)], (value) => convert(Array.from(value))),
      args,
      collation,
    )
  })

const first = (values: readonly Evaluate<string>[]): Evaluate<string> => values[0] ?? (() => null)

/** Text and numbers → text. */
const cutText = (
  least: number,
  most: number,
  cut: (characters: readonly string[], a: number, b: number | undefined) => string,
): FunctionDefinition =>
  define(least, most, (args) => {
    const [one, ...numbers] = args
    const { values, collation } = texts(one === undefined ? [] : [one])
    const [a = () => null, b] = numbers.map(asInteger)
    const value = first(values)
    const evaluate: Evaluate<string> =
      b === undefined
        ? strict([value, a], (string, x) => cut(Array.from(string), Number(x), undefined))
        : strict([value, a, b], (string, x, y) => cut(Array.from(string), Number(x), Number(y)))
    return text(evaluate, args, collation)
  })

function substring(characters: readonly string[], position: number, length: number | undefined): string {
  const start = position < 0 ? characters.length + position : position - 1
  if (position === 0 || start < 0) return ''
  return characters.slice(start, length === undefined ? undefined : start + Math.max(0, length)).join('')
}

/** Longer results are NULL, as TiDB refuses what is beyond max_allowed_packet. */
const MAX_TEXT = 64 * 1024 * 1024

const pad = (left: boolean): FunctionDefinition =>
  define(3, 3, (args) => {
    const [one, length, filler] = [argument(args, 0), argument(args, 1), argument(args, 2)]
    const { values, collation } = texts([one, filler])
    const [value = () => null, fill = () => null] = values
    const evaluate = strict([value, asInteger(length), fill], (string, wanted, padding) => {
      const characters = Array.from(string)
      const count = Number(wanted)
      if (count < 0 || count > MAX_TEXT) return null
      if (characters.length >= count) return characters.slice(0, count).join('')
      const fillers = Array.from(padding)
      if (fillers.length === 0) return null
      const missing = Array.from({ length: count - characters.length }, (_, i) => fillers[i % fillers.length]).join('')
      return left ? missing + string : string + missing
    })
    return text(evaluate, args, collation)
  })

function trim(string: string, removed: string, side: string): string {
  if (removed === '') return string
  let [start, end] = [0, string.length]
  if (side !== 'trailing') while (string.startsWith(removed, start) && start < end) start += removed.length
  if (side !== 'leading') while (end - removed.length >= start && string.endsWith(removed, end)) end -= removed.length
  return string.slice(start, Math.max(start, end))
}

const trimBlanks = (side: string): FunctionDefinition =>
  define(1, 1, (args) => {
    const { values, collation } = texts(args)
    return text(
      strict([first(values)], (value) => trim(value, ' ', side)),
      args,
      collation,
    )
  })

/** Place of a text in another, from 1; 0 where it is not. */
function locate(args: readonly Operand[], needle: Operand, hay: Operand, start: Operand | undefined): Operand {
  const { values, collation } = texts([needle, hay])
  const [wanted = () => null, value = () => null] = values
  const fold = foldOf(collation)
  const from: Evaluate<number | bigint> = start === undefined ? () => 1 : asInteger(start)
  const evaluate = strict([wanted, value, from], (part, whole, at) => {
    const offset = Number(at) - 1
    const characters = Array.from(whole)
    if (offset < 0 || offset > characters.length) return 0
    const rest = fold(characters.slice(offset).join(''))
    const found = rest.indexOf(fold(part))
    return found < 0 ? 0 : offset + Array.from(rest.slice(0, found)).length + 1
  })
  return int(evaluate, args)
}

const foldOf =
  ({ name }: Collation) =>
  (value: string): string =>
    name.endsWith('_ci') ? value.toLowerCase() : value

const digest = (algorithm: string): FunctionDefinition =>
  define(1, 1, (args) =>
    text(
      strict([asBytes(argument(args, 0))], (value) => createHash(algorithm).update(value, 'latin1').digest('hex')),
      args,
    ),
  )

const ofBytes = (compute: (bytes: string) => number): FunctionDefinition =>
  define(1, 1, (args) => int(strict([asBytes(argument(args, 0))], compute), args))

const characterCount = define(1, 1, (args) =>
  int(
    strict([asText(argument(args, 0))], (value) => Array.from(value).length),
    args,
  ),
)

const changeCase = (change: (value: string) => string): FunctionDefinition =>
  define(1, 1, (args) => {
    const { values, collation } = texts(args)
    return text(strict([first(values)], collation.name === 'binary' ? (value) => value : change), args, collation)
  })

const lower = changeCase((value) => value.toLowerCase())
const upper = changeCase((value) => value.toUpperCase())
const substringOf = cutText(2, 3, substring)

const LENGTH = ofBytes((bytes) => bytes.length)

const radix = (base: number): FunctionDefinition =>
  define(1, 1, (args) =>
    text(
      strict([asInteger(argument(args, 0))], (value) => BigInt.asUintN(64, BigInt(value)).toString(base)),
      args,
    ),
  )

export const TEXT_FUNCTIONS: Functions = {
  ascii: ofBytes((bytes) => (bytes === '' ? 0 : bytes.charCodeAt(0))),
  bin: radix(2),
  bit_length: ofBytes((bytes) => bytes.length * 8),
  char_length: characterCount,
  character_length: characterCount,
  concat: define(1, 1000, (args) => {
    const { values, collation } = texts(args)
    return text(
      strict(values, (...parts: readonly string[]) => parts.join('')),
      args,
      collation,
    )
  }),
  concat_ws: define(2, 1000, (args) => {
    const { values, collation } = texts(args)
    const [separator = () => null, ...parts] = values
    const evaluate: Evaluate<string> = (row) => {
      const between = separator(row)
      if (between === null) return null
      return parts
        .map((part) => part(row))
        .filter((part) => part !== null)
        .join(between)
    }
    return text(evaluate, args, collation)
  }),
  crc32: ofBytes((bytes) => crc32(Buffer.from(bytes, 'latin1'))),
  find_in_set: define(2, 2, (args) => {
    const { values, collation } = texts(args)
    const [wanted = () => null, list = () => null] = values
    const compare = compareTexts(collation.name)
    const evaluate = strict([wanted, list], (one, members) =>
      members === '' ? 0 : members.split(',').findIndex((member) => compare(member, one) === 0) + 1,
    )
    return int(evaluate, args)
  }),
  from_base64: define(1, 1, (args) =>
    text(
      strict([asText(argument(args, 0))], (value) => {
        const plain = value.replace(/\s/g, '')
        return /^(?:[\w+/]{4})*(?:[\w+/]{2}==|[\w+/]{3}=)?$/.test(plain)
          ? Buffer.from(plain, 'base64').toString('latin1')
          : null
      }),
      args,
      BINARY,
    ),
  ),
  hex: define(1, 1, (args) => {
    const one = argument(args, 0)
    if (one.kind === 'int' || one.kind === 'real' || one.kind === 'decimal')
      return text(
        strict([asInteger(one)], (value) => BigInt.asUintN(64, BigInt(value)).toString(16).toUpperCase()),
        args,
      )
    return text(
      strict([asBytes(one)], (value) => Buffer.from(value, 'latin1').toString('hex').toUpperCase()),
      args,
    )
  }),
  insert: define(4, 4, (args) => {
    const { values, collation } = texts([argument(args, 0), argument(args, 3)])
    const [value = () => null, inserted = () => null] = values
    const [at, count] = [asInteger(argument(args, 1)), asInteger(argument(args, 2))]
    const evaluate = strict([value, at, count, inserted], (string, position, length, part) => {
      const characters = Array.from(string)
      const start = Number(position) - 1
      if (start < 0 || start >= characters.length) return string
      const end = Number(length) < 0 ? characters.length : start + Number(length)
      return characters.slice(0, start).join('') + part + characters.slice(end).join('')
    })
    return text(evaluate, args, collation)
  }),
  instr: define(2, 2, (args) => locate(args, argument(args, 1), argument(args, 0), undefined)),
  lcase: lower,
  left: cutText(2, 2, (characters, count) => characters.slice(0, Math.max(0, count)).join('')),
  length: LENGTH,
  locate: define(2, 3, (args) => locate(args, argument(args, 0), argument(args, 1), args[2])),
  lower,
  lpad: pad(true),
  ltrim: trimBlanks('leading'),
  md5: digest('md5'),
  oct: radix(8),
  octet_length: LENGTH,
  ord: ofBytes((bytes) => {
    const [character = ''] = Array.from(textOfBytes(bytes))
    return Buffer.from(character, 'utf8').reduce((value, byte) => value * 256 + byte, 0)
  }),
  regexp_like: define(2, 3, (args) => {
    const flags = args[2]
    if (flags !== undefined && !flags.constant) throw new SyntaxError('the flags of regexp_like must be constant')
    const given = flags === undefined ? '' : (asText(flags)([]) ?? '')
    if (!/^[imsnuc]*$/.test(given)) throw new SyntaxError(`unknown flags of regexp_like: '${given}'`)
    return compileRegexp(argument(args, 0), argument(args, 1), given)
  }),
  repeat: cutText(2, 2, (characters, count) =>
    characters.length * count > MAX_TEXT ? '' : characters.join('').repeat(Math.max(0, count)),
  ),
  replace: define(3, 3, (args) => {
    const { values, collation } = texts(args)
    const [value = () => null, from = () => null, to = () => null] = values
    const evaluate = strict([value, from, to], (string, wanted, by) =>
      wanted === '' ? string : string.replaceAll(wanted, () => by),
    )
    return text(evaluate, args, collation)
  }),
  reverse: mapText((characters) => characters.toReversed().join('')),
  right: cutText(2, 2, (characters, count) => (count <= 0 ? '' : characters.slice(-count).join(''))),
  rpad: pad(false),
  rtrim: trimBlanks('trailing'),
  sha: digest('sha1'),
  sha1: digest('sha1'),
  sha2: define(2, 2, (args) => {
    const evaluate = strict([asBytes(argument(args, 0)), asInteger(argument(args, 1))], (value, bits) => {
      const size = Number(bits) === 0 ? 256 : Number(bits)
      if (![224, 256, 384, 512].includes(size)) return null
      return createHash(`sha${size}`).update(value, 'latin1').digest('hex')
    })
    return text(evaluate, args)
  }),
  space: define(1, 1, (args) =>
    text(
      strict([asInteger(argument(args, 0))], (count) =>
        Number(count) > MAX_TEXT ? null : ' '.repeat(Math.max(0, Number(count))),
      ),
      args,
    ),
  ),
  substr: substringOf,
  substring: substringOf,
  substring_index: define(3, 3, (args) => {
    const { values, collation } = texts([argument(args, 0), argument(args, 1)])
    const [value = () => null, separator = () => null] = values
    const evaluate = strict([value, separator, asInteger(argument(args, 2))], (string, between, count) => {
      if (between === '') return ''
      const parts = string.split(between)
      const wanted = Number(count)
      return (wanted >= 0 ? parts.slice(0, wanted) : parts.slice(wanted)).join(between)
    })
    return text(evaluate, args, collation)
  }),
  to_base64: define(1, 1, (args) =>
    text(
      strict([asBytes(argument(args, 0))], (value) =>
        Buffer.from(value, 'latin1')
          .toString('base64')
          .replace(/.{76}(?=.)/g, '$&\n'),
      ),
      args,
    ),
  ),
  trim: define(3, 3, (args) => {
    const { values, collation } = texts([argument(args, 0), argument(args, 1)])
    const [value = () => null, removed = () => null] = values
    const evaluate = strict([value, removed, asText(argument(args, 2))], (string, part, side) =>
      trim(string, part, side),
    )
    return text(evaluate, args, collation)
  }),
  ucase: upper,
  unhex: define(1, 1, (args) =>
    text(
      strict([asText(argument(args, 0))], (value) => {
        const digits = value.length % 2 === 0 ? value : `0${value}`
        return /^[0-9a-fA-F]*$/.test(digits) ? Buffer.from(digits, 'hex').toString('latin1') : null
      }),
      args,
      BINARY,
    ),
  ),
  upper,
}
