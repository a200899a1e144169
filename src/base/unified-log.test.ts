import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Clock } from './clock.ts'
import { CdcError } from './errors.ts'
import { createLog, openLogFile, type LogSink } from './unified-log.ts'

const folder = mkdtempSync(join(tmpdir(), 'tidewire-log-'))
after(() => rmSync(folder, { recursive: true }))

/** Stands still until it is set. */
function fakeClock(now: number): Clock & { set(now: number): void } {
  return {
    now: () => now,
    monotonic: () => now,
    sleep: async () => {},
    set(later) {
      now = later
    },
  }
}

function memorySink(): LogSink & { lines: string[] } {
  const lines: string[] = []
  return { lines, write: (line) => void lines.push(line), [Symbol.dispose]() {} }
}

const noon = Date.UTC(2026, 0, 2, 12)
/** Of a line: what follows its time. */
const rest = (line = ''): string => line.replace(/^\[\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d\.\d{3} [+-]\d\d:\d\d\] /, '')

test('a line is in the unified format; only what needs quotes is quoted', () => {
  const sink = memorySink()
  const log = createLog({ level: 'info', format: 'text', sink, clock: fakeClock(noon) })
  log.with({ changefeed: 'default/one' }).info('changefeed started', {
    ts: 435_591_239_999_999_999n,
    pd: ['http://a:1', 'http://b:2'],
    empty: '',
    absent: undefined,
    text: 'say "hi" [x=1]\n',
    error: new CdcError('CDC:ErrKafkaSendMessage', 'no', { cause: new Error('timeout') }),
  })
  assert.equal(
    rest(sink.lines[0]),
    '[INFO] [<unknown>] ["changefeed started"] [changefeed=default/one] [ts=435591239999999999] [pd="[http://a:1,http://b:2]"] [empty=""] [text="say \\"hi\\" [x=1]\\n"] [error="[CDC:ErrKafkaSendMessage]no: timeout"]\n',
  )
})

test('what is below the level is not written, and the level can change', () => {
  const sink = memorySink()
  const log = createLog({ level: 'warn', format: 'text', sink, clock: fakeClock(noon) })
  const child = log.with({ a: 1 })
  child.info('one')
  log.setLevel('debug')
  child.debug('two')
  assert.deepEqual(sink.lines.map(rest), ['[DEBUG] [<unknown>] [two] [a=1]\n'])
})

test('JSON lines hold the same', () => {
  const sink = memorySink()
  createLog({ level: 'info', format: 'json', sink, clock: fakeClock(noon) }).warn('late', { lag: 3, ts: 5n })
  const { time, ...line }: Record<string, unknown> = JSON.parse(sink.lines[0] ?? '')
  assert.match(String(time), /^2026\/01\/0[123] /)
  assert.deepEqual(line, { level: 'WARN', message: 'late', lag: 3, ts: '5' })
})

test('a full file is put aside, and old ones are removed', () => {
  const path = join(folder, 'cdc.log')
  const clock = fakeClock(noon)
  const line = `${'x'.repeat(300_000)}\n`
  using sink = openLogFile({ path, maxSizeMib: 1, maxDays: 0, maxBackups: 2 }, clock)
  for (let written = 0; written < 14; written++) {
    clock.set(noon + written * 1000)
    sink.write(line)
  }
  const files = readdirSync(folder).toSorted()
  assert.deepEqual(files, ['cdc-2026-01-02T12-00-09.000.log', 'cdc-2026-01-02T12-00-12.000.log', 'cdc.log'])
  assert.equal(readFileSync(path, 'utf8').length, 2 * line.length)
})

test('a file that is there is gone on with', () => {
  const path = join(folder, 'deep', 'again.log')
  for (const text of ['one\n', 'two\n']) {
    using sink = openLogFile({ path, maxSizeMib: 1, maxDays: 0, maxBackups: 0 }, fakeClock(noon))
    sink.write(text)
  }
  assert.equal(readFileSync(path, 'utf8'), 'one\ntwo\n')
})

test('files older than max-days are removed when the next is put aside', () => {
  const clock = fakeClock(noon)
  const path = join(folder, 'days.log')
  using sink = openLogFile({ path, maxSizeMib: 1, maxDays: 1, maxBackups: 0 }, clock)
  const line = 'x'.repeat(1_048_576)
  for (const day of [0, 1, 3]) {
    clock.set(noon + day * 86_400_000)
    sink.write(line)
  }
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('days-')),
    ['days-2026-01-05T12-00-00.000.log'],
  )
})
