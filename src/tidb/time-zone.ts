import { CdcError } from '../base/errors.ts'

/** A time zone for many conversions: no calendar object per call. */
export interface TimeZone {
  readonly name: string
  /** Seconds to add to a UTC time to get the local time. */
  offsetAt(utcSeconds: number): number
}

/** Offset that holds for `from ≤ utcSeconds < until`. */
interface Segment {
  readonly from: number
  readonly until: number
  readonly offset: number
}

const OFFSET = /^([+-])([0-9]{1,2}):([0-9]{2})$/

/**
 * An IANA name, an offset such as `+08:00`, or `''`, `Local`, `SYSTEM` for the machine's zone. Error:
 * `CDC:ErrLoadTimezone`.
 */
export function openTimeZone(name: string): TimeZone {
  const [, sign, hours, minutes] = OFFSET.exec(name) ?? []
  if (sign !== undefined) {
    const seconds = Number(hours) * 3600 + Number(minutes) * 60
    if (seconds > 14 * 3600) throw new CdcError('CDC:ErrLoadTimezone', `unknown time zone ${name}`)
    return fixedZone(name, sign === '-' ? -seconds : seconds)
  }
  const local = name === '' || name === 'Local' || name.toUpperCase() === 'SYSTEM'
  const id = local ? Temporal.Now.timeZoneId() : name
  if (id.toUpperCase() === 'UTC') return utcZone
  try {
    segmentAt(id, 0)
  } catch (cause) {
    throw new CdcError('CDC:ErrLoadTimezone', `unknown time zone ${name}`, { cause })
  }
  return namedZone(id)
}

const fixedZone = (name: string, offset: number): TimeZone => ({ name, offsetAt: () => offset })

export const utcZone: TimeZone = fixedZone('UTC', 0)

/** Looks segments up once and keeps them; rows mostly fall into the one used last. */
function namedZone(name: string): TimeZone {
  const segments: Segment[] = []
  let last = segmentAt(name, 0)
  return {
    name,
    offsetAt(utcSeconds) {
      if (utcSeconds >= last.from && utcSeconds < last.until) return last.offset
      let found = segments.find(({ from, until }) => utcSeconds >= from && utcSeconds < until)
      if (found === undefined) {
        found = segmentAt(name, utcSeconds)
        segments.push(found)
      }
      last = found
      return found.offset
    },
  }
}

function segmentAt(name: string, utcSeconds: number): Segment {
  const at = Temporal.Instant.fromEpochMilliseconds(utcSeconds * 1000).toZonedDateTimeISO(name)
  const next = at.getTimeZoneTransition('next')
  const previous = at.add({ nanoseconds: 1 }).getTimeZoneTransition('previous')
  return {
    from: previous === null ? -Infinity : previous.epochMilliseconds / 1000,
    until: next === null ? Infinity : next.epochMilliseconds / 1000,
    offset: at.offsetNanoseconds / 1e9,
  }
}

/**
 * UTC seconds of a local time. In a gap the time is taken as before the change (it moves forward), in an overlap the
 * earlier of two is meant.
 */
export function utcOfLocal(zone: TimeZone, localSeconds: number): number {
  const before = zone.offsetAt(localSeconds - 86_400)
  const early = localSeconds - before
  if (zone.offsetAt(early) === before) return early
  const late = localSeconds - zone.offsetAt(localSeconds + 86_400)
  return late + zone.offsetAt(late) === localSeconds ? late : early
}
