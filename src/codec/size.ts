import { CdcError } from '../base/errors.ts'
import type { TableVersion } from '../event/table-version.ts'

/** What a Kafka record adds to key and value at most (reference: protocols, section 4). */
export const MAX_RECORD_OVERHEAD = 36

/** `length` includes {@link MAX_RECORD_OVERHEAD}. */
export function messageTooLarge(table: TableVersion, length: number, maxMessageBytes: number): CdcError {
  const name = `${table.schema}.${table.table}`
  const text = `message is too large. table:${name}, length:${length}, maxMessageBytes:${maxMessageBytes}`
  return new CdcError('CDC:ErrMessageTooLarge', text)
}
