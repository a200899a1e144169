import { closeSync, fstatSync, mkdirSync, openSync, readdirSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import type { Clock } from './clock.ts'
import { describeError } from './errors.ts'
import { LOG_LEVELS, type Log, type LogFields, type LogLevel } from './log.ts'

/** Where lines go. */
export interface LogSink extends Disposable {
  write(line: string): void
}

export interface LogFileOptions {
  readonly path: string
  /** A file that would grow beyond this is put aside and a new one begun. */
  readonly maxSizeMib: number
  /** How many days (0 = for ever) and how many (0 = all) of those put aside are kept. */
  readonly maxDays: number
  readonly maxBackups: number
}

export interface LogOptions {
  readonly level: LogLevel
  /** TiDB's unified format, or one JSON object per line with the same content. */
  readonly format: 'text' | 'json'
  readonly sink: LogSink
  readonly clock: Clock
}

/** The root of a process's logs: its level can be changed while it runs. */
export interface LogControl extends Log {
  setLevel(level: LogLevel): void
}

/**
 * Logs in TiDB's unified format (TiDB RFC "unified log format"):
 * `[2026/01/01 12:00:00.000 +00:00] [INFO] [<unknown>] [message] ["field=value"]`. Lines are written at once, so that the
 * last ones before a crash are there.
 */
export function createLog(options: LogOptions): LogControl {
  let level = LOG_LEVELS.indexOf(options.level)
  const render = options.format === 'json' ? jsonLine : textLine
  const at = (name: LogLevel, bound: LogFields) => {
    const rank = LOG_LEVELS.indexOf(name)
    return (message: string, fields: LogFields = {}): void => {
      if (rank >= level) options.sink.write(render(options.clock.now(), name, message, { ...bound, ...fields }))
    }
  }
  const bind = (bound: LogFields): Log => ({
    debug: at('debug', bound),
    info: at('info', bound),
    warn: at('warn', bound),
    error: at('error', bound),
    with: (fields) => bind({ ...bound, ...fields }),
  })
  return {
    ...bind({}),
    setLevel(name) {
      level = LOG_LEVELS.indexOf(name)
    },
  }
}

/** Lines to an open file descriptor: 1 is stdout, 2 stderr. */
export function openLogStream(fd: number): LogSink {
  return {
    write(line) {
      writeAll(fd, line)
    },
    [Symbol.dispose]() {},
  }
}

/** Lines to a file that is put aside (`cdc-2026-01-01T12-00-00.000.log`) when it is full. Throws where it cannot open. */
export function openLogFile(options: LogFileOptions, clock: Clock): LogSink {
  const limit = options.maxSizeMib * 1024 * 1024
  mkdirSync(dirname(options.path), { recursive: true })
  let fd = openSync(options.path, 'a')
  let size = fstatSync(fd).size
  const rotate = (): void => {
    closeSync(fd)
    renameSync(options.path, backupPath(options.path, clock.now()))
    fd = openSync(options.path, 'a')
    size = 0
    removeOld(options, clock.now())
  }
  return {
    write(line) {
      const bytes = Buffer.byteLength(line)
      if (limit > 0 && size > 0 && size + bytes > limit) rotate()
      size += bytes
      writeAll(fd, line)
    },
    [Symbol.dispose]() {
      closeSync(fd)
    },
  }
}

function writeAll(fd: number, line: string): void {
  const bytes = Buffer.from(line)
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(fd, bytes, at)
    } catch (error) {
      // A pipe that is full for a moment is tried again; one whose reader is gone, or a full disk, loses the line.
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) return
    }
  }
}

function backupPath(path: string, now: number): string {
  const suffix = extname(path)
  const stamp = new Date(now).toISOString().replaceAll(':', '-').replace('Z', '')
  return join(dirname(path), `${basename(path, suffix)}-${stamp}${suffix}`)
}

function removeOld({ path, maxDays, maxBackups }: LogFileOptions, now: number): void {
  const suffix = extname(path)
  const prefix = `${basename(path, suffix)}-`
  const backups = readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix) && /-\d{4}-\d\d-\d\dT[\d.-]+$/.test(basename(name, suffix)))
    .toSorted()
    .toReversed()
  const oldest = `${prefix}${new Date(now - maxDays * 86_400_000).toISOString().replaceAll(':', '-')}`
  for (const [index, name] of backups.entries())
    if ((maxBackups > 0 && index >= maxBackups) || (maxDays > 0 && name < oldest)) unlinkSync(join(dirname(path), name))
}

/** Made at most once per minute: the zone's offset is what takes time. */
let offsetCache = { minute: Number.NaN, text: '' }

function timestamp(now: number): string {
  const minute = Math.floor(now / 60_000)
  const date = new Date(now)
  if (offsetCache.minute !== minute) {
    const offset = -date.getTimezoneOffset()
    const hours = String(Math.floor(Math.abs(offset) / 60)).padStart(2, '0')
    const minutes = String(Math.abs(offset) % 60).padStart(2, '0')
    offsetCache = { minute, text: `${offset < 0 ? '-' : '+'}${hours}:${minutes}` }
  }
  const two = (value: number): string => String(value).padStart(2, '0')
  const day = `${date.getFullYear()}/${two(date.getMonth() + 1)}/${two(date.getDate())}`
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  return `${day} ${time}.${String(date.getMilliseconds()).padStart(3, '0')} ${offsetCache.text}`
}

function textLine(now: number, level: LogLevel, message: string, fields: LogFields): string {
  let line = `[${timestamp(now)}] [${level.toUpperCase()}] [<unknown>] [${quote(message)}]`
  for (const [name, value] of Object.entries(fields))
    if (value !== undefined) line += ` [${quote(name)}=${quote(fieldText(value))}]`
  return `${line}\n`
}

function jsonLine(now: number, level: LogLevel, message: string, fields: LogFields): string {
  const texts = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, typeof value === 'number' || typeof value === 'boolean' ? value : fieldText(value)])
  const line = { level: level.toUpperCase(), time: timestamp(now), message, ...Object.fromEntries(texts) }
  return `${JSON.stringify(line)}\n`
}

/** What stands for a field's value: bigint without suffix, errors with their causes, objects as JSON. */
function fieldText(value: unknown): string {
  if (typeof value === 'string') return value
  if (value instanceof Error) return describeError(value)
  if (typeof value !== 'object' || value === null) return String(value)
  if (Array.isArray(value)) return `[${value.map(fieldText).join(',')}]`
  return JSON.stringify(value, (_key, member: unknown) => (typeof member === 'bigint' ? member.toString() : member))
}

/** The format quotes what holds a blank, a quote, a bracket, an equals sign or a control character. */
function quote(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return text !== '' && /^[^\u0000-\u0020"=[\]]+$/.test(text) ? text : JSON.stringify(text)
}
