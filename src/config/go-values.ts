/** Text forms of Go's standard library that users write in files, URIs and flags. */

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** Milliseconds of a Go duration (`1h30m`, `500ms`, `0`), undefined where the text is none. */
export function parseGoDuration(text: string): number | undefined {
  const [, sign = '', body = ''] = /^([+-]?)(.*)$/s.exec(text) ?? []
  if (body === '0') return 0
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(body)) return undefined
  let ms = 0
  for (const [, amount = '', unit = ''] of body.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g))
    ms += Number(amount) * (UNIT_MS[unit] ?? 0)
  return sign === '-' ? -ms : ms
}

/** A duration as Go prints it: `10m0s`, `1.5s`, `50ms`. */
export function formatGoDuration(ms: number): string {
  if (ms === 0) return '0s'
  const sign = ms < 0 ? '-' : ''
  const left = Math.abs(ms)
  if (left < 1e-3) return `${sign}${round(left * 1e6)}ns`
  if (left < 1) return `${sign}${round(left * 1e3)}µs`
  if (left < 1000) return `${sign}${round(left)}ms`
  const hours = Math.floor(left / 3_600_000)
  const minutes = Math.floor((left % 3_600_000) / 60_000)
  const seconds = round((left % 60_000) / 1000)
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}s`
  return minutes > 0 ? `${sign}${minutes}m${seconds}s` : `${sign}${seconds}s`
}

const round = (value: number): number => Number(value.toFixed(9))

/** Whole nanoseconds of a duration in ms. */
export const nanoseconds = (ms: number): bigint => BigInt(Math.round(ms * 1e6))

const TRUE: readonly string[] = ['1', 't', 'T', 'true', 'TRUE', 'True']
const FALSE: readonly string[] = ['0', 'f', 'F', 'false', 'FALSE', 'False']

/** A boolean as Go's strconv reads it, undefined where the text is none. */
export function parseGoBool(text: string): boolean | undefined {
  if (TRUE.includes(text)) return true
  return FALSE.includes(text) ? false : undefined
}

/** A decimal whole number within ±2^53, undefined where the text is none. */
export function parseInteger(text: string): number | undefined {
  if (!/^[+-]?\d+$/.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}

/** A timestamp or another unsigned 64-bit number in decimal, undefined where the text is none. */
export function parseUint64(text: string): bigint | undefined {
  if (!/^\d+$/.test(text)) return undefined
  const value = BigInt(text)
  return value <= 0xffff_ffff_ffff_ffffn ? value : undefined
}
