import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CdcError } from '../base/errors.ts'
import { formatTimestamp, packTime, packTimestamp } from './time.ts'
import { openTimeZone } from './time-zone.ts'

const shown = (utc: string, zone: string): string => {
  const packed = packTime(utc)
  return formatTimestamp(Number(packed >> 32n), Number(packed & 0xffff_ffffn), 0, openTimeZone(zone))
}

// Both sides of each change of the clock; offsets as of the IANA data.
for (const [utc, zone, local] of [
  ['2024-03-10 06:59:59', 'America/New_York', '2024-03-10 01:59:59'],
  ['2024-03-10 07:00:00', 'America/New_York', '2024-03-10 03:00:00'],
  ['2024-11-03 05:59:59', 'America/New_York', '2024-11-03 01:59:59'],
  ['2024-11-03 06:00:00', 'America/New_York', '2024-11-03 01:00:00'],
  ['1986-05-03 16:00:00', 'Asia/Shanghai', '1986-05-04 00:00:00'],
  ['1986-07-01 00:00:00', 'Asia/Shanghai', '1986-07-01 09:00:00'],
  ['2020-11-19 12:12:12', 'Asia/Kolkata', '2020-11-19 17:42:12'],
  ['2020-02-29 20:00:00', '+08:00', '2020-03-01 04:00:00'],
  ['2020-03-01 02:00:00', '-03:30', '2020-02-29 22:30:00'],
  ['2038-01-19 03:14:07', 'UTC', '2038-01-19 03:14:07'],
  ['0000-00-00 00:00:00', 'Asia/Shanghai', '0000-00-00 00:00:00'],
] as const)
  test(`${utc} UTC is ${local} in ${zone}`, () => assert.equal(shown(utc, zone), local))

test('a zone is right whichever order its times are asked in', () => {
  const zone = openTimeZone('Europe/Berlin')
  const times = Array.from({ length: 200 }, (_, i) => ((i * 7919) % 200) * 8_000_000)
  for (const time of times) {
    const fresh = openTimeZone('Europe/Berlin')
    assert.equal(zone.offsetAt(time), fresh.offsetAt(time))
  }
})

test('local time in a gap moves forward, in an overlap is the earlier one', () => {
  const zone = openTimeZone('America/New_York')
  assert.equal(packTimestamp('2024-03-10 02:30:00', zone), packTime('2024-03-10 07:30:00'))
  assert.equal(packTimestamp('2024-11-03 01:30:00', zone), packTime('2024-11-03 05:30:00'))
})

for (const name of ['Mars/Olympus', '+25:00', 'UTC+8'])
  test(`time zone ${name} is refused by name`, () =>
    assert.throws(
      () => openTimeZone(name),
      (error: unknown) =>
        error instanceof CdcError && error.code === 'CDC:ErrLoadTimezone' && error.message.includes(name),
    ))

test('the machine has a zone', () => {
  for (const name of ['', 'Local', 'SYSTEM']) assert.equal(typeof openTimeZone(name).offsetAt(0), 'number')
})
