import { parseGoBool, parseGoDuration, parseInteger, parseUint64 } from '../config/go-values.ts'

/** A flag as a command declares it; parsing, help and checks come from this. */
export interface Flag {
  readonly name: string
  readonly short?: string
  readonly kind: 'string' | 'bool' | 'uint64' | 'int' | 'duration'
  /** As help prints it; a flag without one is empty, 0 or false. */
  readonly fallback?: string
  readonly usage: string
  readonly required?: boolean
  /** Accepted, not in the help. */
  readonly hidden?: true
}

/** A wrong command line: it is followed by the command's usage. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Values of a command line's flags. Asking for a flag that was not declared is a bug. */
export class FlagValues {
  readonly #flags: ReadonlyMap<string, Flag>
  readonly #given: ReadonlyMap<string, string>

  constructor(flags: readonly Flag[], given: ReadonlyMap<string, string>) {
    this.#flags = new Map(flags.map((flag) => [flag.name, flag]))
    this.#given = given
  }

  /** True when the user set the flag. */
  given(name: string): boolean {
    return this.#given.has(this.#flag(name).name)
  }

  text(name: string): string {
    return this.#given.get(name) ?? this.#flag(name).fallback ?? ''
  }

  bool(name: string): boolean {
    return parseGoBool(this.text(name) || 'false') ?? false
  }

  uint64(name: string): bigint {
    return parseUint64(this.text(name) || '0') ?? 0n
  }

  int(name: string): number {
    return parseInteger(this.text(name) || '0') ?? 0
  }

  /** Milliseconds. */
  duration(name: string): number {
    return parseGoDuration(this.text(name) || '0') ?? 0
  }

  #flag(name: string): Flag {
    const flag = this.#flags.get(name)
    if (flag === undefined) throw new TypeError(`flag ${name} is not declared`)
    return flag
  }
}

export const helpFlag: Flag = { name: 'help', short: 'h', kind: 'bool', usage: 'help for this command' }

/**
 * Reads arguments as cobra and pflag do: `--name value`, `--name=value`, `-n value`, `-nvalue`, `--bool`, `--bool=false`,
 * flags and words in any order, `--` ends the flags. Throws {@link UsageError} with pflag's texts.
 */
export function parseFlags(
  flags: readonly Flag[],
  args: readonly string[],
): { given: Map<string, string>; words: string[] } {
  const given = new Map<string, string>()
  const words: string[] = []
  const left = [...args]
  for (let arg = left.shift(); arg !== undefined; arg = left.shift()) {
    if (arg === '--') {
      words.push(...left.splice(0))
    } else if (arg.startsWith('--')) {
      const [name, value] = cut(arg.slice(2))
      const flag = flags.find((one) => one.name === name)
      if (flag === undefined) throw new UsageError(`unknown flag: --${name}`)
      given.set(flag.name, checked(flag, valueOf(flag, value, left, `--${name}`)))
    } else if (arg.startsWith('-') && arg.length > 1) readShort(flags, arg.slice(1), left, given)
    else words.push(arg)
  }
  return { given, words }
}

/** `-abc`: switches a and b, then c; the first flag that takes a value takes the rest. */
function readShort(flags: readonly Flag[], letters: string, left: string[], given: Map<string, string>): void {
  for (let at = 0; at < letters.length; at++) {
    const letter = letters.charAt(at)
    const flag = flags.find((one) => one.short === letter)
    if (flag === undefined) throw new UsageError(`unknown shorthand flag: '${letter}' in -${letters}`)
    const rest = letters.slice(at + 1)
    if (flag.kind === 'bool' && !rest.startsWith('=')) {
      given.set(flag.name, 'true')
      continue
    }
    const value = rest === '' ? undefined : rest.replace(/^=/, '')
    given.set(flag.name, checked(flag, valueOf(flag, value, left, `'${letter}' in -${letters}`)))
    return
  }
}

function valueOf(flag: Flag, value: string | undefined, left: string[], shown: string): string {
  if (value !== undefined) return value
  if (flag.kind === 'bool') return 'true'
  const next = left.shift()
  if (next === undefined) throw new UsageError(`flag needs an argument: ${shown}`)
  return next
}

const PARSERS = {
  string: (text: string) => text,
  bool: parseGoBool,
  uint64: parseUint64,
  int: parseInteger,
  duration: parseGoDuration,
}
const GO_PARSERS = {
  string: '',
  bool: 'strconv.ParseBool: parsing',
  uint64: 'strconv.ParseUint: parsing',
  int: 'strconv.ParseInt: parsing',
  duration: 'time: invalid duration',
}

function checked(flag: Flag, value: string): string {
  if (PARSERS[flag.kind](value) !== undefined) return value
  const shown = flag.short === undefined ? `--${flag.name}` : `-${flag.short}, --${flag.name}`
  const reason = `${GO_PARSERS[flag.kind]} ${JSON.stringify(value)}${flag.kind === 'duration' ? '' : ': invalid syntax'}`
  throw new UsageError(`invalid argument ${JSON.stringify(value)} for "${shown}" flag: ${reason}`)
}

/** Throws for required flags that were not given. */
export function requireFlags(flags: readonly Flag[], given: ReadonlyMap<string, string>): void {
  const missing = flags.filter((flag) => flag.required === true && !given.has(flag.name))
  if (missing.length > 0)
    throw new UsageError(`required flag(s) ${missing.map((flag) => `"${flag.name}"`).join(', ')} not set`)
}

function cut(text: string): [string, string | undefined] {
  const at = text.indexOf('=')
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}
