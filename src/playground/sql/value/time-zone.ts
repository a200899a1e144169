import { openTimeZone as openTidbZone, utcZone } from '../../../tidb/time-zone.ts'
import type { TimeZone as TidbZone } from '../../../tidb/time-zone.ts'
import { SqlError } from '../error.ts'
import { dayNumber, fromMicros, isRealDate, toMicros } from './time.ts'
import type { DateTimeParts } from './time.ts'

/** A session's time zone. */
export interface TimeZone {
  /** As shown by `@@time_zone`. */
  readonly name: string
  readonly zone: TidbZone
}

/** `SYSTEM`, `+08:00`, `UTC` or an IANA name; refuses others with error 1298. */
export function openTimeZone(name: string): TimeZone {
  try {
    if (name === '') throw new RangeError('empty name')
    return { name, zone: openTidbZone(name) }
  } catch (cause) {
    throw new SqlError(1298, `Unknown or incorrect time zone: '${name}'`, { cause })
  }
}

export const utc: TimeZone = { name: 'UTC', zone: utcZone }

const secondsOf = (value: DateTimeParts): number =>
  dayNumber(value.year, value.month, value.day) * 86_400 + value.hour * 3600 + value.minute * 60 + value.second

/** undefined = the wall time does not exist in the zone (gap of a clock change). */
function toUtc(local: DateTimeParts, { zone }: TimeZone): DateTimeParts | undefined {
  const wall = secondsOf(local)
  for (const at of [wall - 86_400, wall + 86_400]) {
    const offset = zone.offsetAt(at)
    if (zone.offsetAt(wall - offset) === offset) return shift(local, -offset)
  }
  return undefined
}

const shift = (value: DateTimeParts, seconds: number): DateTimeParts =>
  seconds === 0 ? value : fromMicros(toMicros(value) + BigInt(seconds) * 1_000_000n)

const FIRST_TIMESTAMP = toMicros({ year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 1, micro: 0 })
const LAST_TIMESTAMP = toMicros({ year: 2038, month: 1, day: 19, hour: 3, minute: 14, second: 7, micro: 999_999 })

/** A TIMESTAMP's wall time in UTC; undefined where it does not exist or is out of TIMESTAMP's range. Zero stays zero. */
export function timestampToUtc(local: DateTimeParts, zone: TimeZone): DateTimeParts | undefined {
  if (!isRealDate(local)) return local.year === 0 && local.month === 0 && local.day === 0 ? local : undefined
  const moment = toUtc(local, zone)
  if (moment === undefined) return undefined
  const micros = toMicros(moment)
  return micros >= FIRST_TIMESTAMP && micros <= LAST_TIMESTAMP ? moment : undefined
}

export function timestampFromUtc(moment: DateTimeParts, { zone }: TimeZone): DateTimeParts {
  return isRealDate(moment) ? shift(moment, zone.offsetAt(secondsOf(moment))) : moment
}
