/** Fields of a log line; values are printed as text, bigint without suffix, errors with their causes. */
export type LogFields = Readonly<Record<string, unknown>>

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'panic', 'fatal'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** What the code logs to. Messages are stable lower-case sentences; data goes into fields; no secrets, no row values. */
export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A log whose lines all carry `fields`. */
  with(fields: LogFields): Log
}

/** Drops everything. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLog,
}
