import { describeError } from '../base/errors.ts'
import type { Log, LogFields, LogLevel } from '../base/log.ts'
import type { WorkerLog } from '../changefeed/messages.ts'

/** A log that sends its lines to the control thread, values already as text. */
export function createPortLog(post: (message: WorkerLog) => void, fixed: LogFields = {}): Log {
  const write = (level: Extract<LogLevel, WorkerLog['level']>, message: string, fields: LogFields = {}): void => {
    const texts = Object.entries({ ...fixed, ...fields }).map(([name, value]) => [name, valueText(value)] as const)
    post({ type: 'log', level, message, fields: Object.fromEntries(texts) })
  }
  return {
    debug: (message, fields) => write('debug', message, fields),
    info: (message, fields) => write('info', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    error: (message, fields) => write('error', message, fields),
    with: (fields) => createPortLog(post, { ...fixed, ...fields }),
  }
}

function valueText(value: unknown): string {
  if (value instanceof Error) return describeError(value)
  if (typeof value === 'string') return value
  if (typeof value === 'bigint') return value.toString()
  return (
    JSON.stringify(value, (_key, part: unknown) => (typeof part === 'bigint' ? part.toString() : part)) ?? 'undefined'
  )
}
