import { CdcError } from '../../base/errors.ts'
import type { CodecSettings } from '../../config/sink-settings.ts'
import type { EncodedMessage, Messages } from '../../event/encoded.ts'
import type { RowChange } from '../../event/row-change.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { openTimeZone } from '../../tidb/time-zone.ts'
import { createLargeMessages, type LargeMessages, type Stub } from '../large-message.ts'
import type { ControlMessage, Protocol, RowEncoder } from '../protocol.ts'
import { MAX_RECORD_OVERHEAD, messageTooLarge } from '../size.ts'
import { createAvroFormat } from './avro.ts'
import type { SimpleFormat } from './format.ts'
import { createJsonFormat } from './json.ts'

export interface SimpleContext {
  /** In which TIMESTAMP values are given. */
  readonly timeZone: string
  /** ms since 1970. */
  readonly now: () => number
  /** Names of files for large messages. */
  readonly newId: () => string
}

/**
 * Messages without types: a consumer has those from the table schemas in DDL and BOOTSTRAP messages (reference:
 * protocols-avro-simple-debezium, B). `encoding-format` says how they are written.
 */
export function createSimple(settings: CodecSettings, { timeZone, now, newId }: SimpleContext): Protocol {
  const create = settings.simple.encoding === 'avro' ? createAvroFormat : createJsonFormat
  const format = create({ location: openTimeZone(timeZone).name, now })
  const large = createLargeMessages(settings, newId)
  const control = (write: () => void): ControlMessage => {
    write()
    return { key: null, value: finish(format, large) }
  }
  return {
    compile: (table) => compileTable(table, settings, format, large),
    ddl(event) {
      const message = control(() => format.ddl(event))
      const length = message.value.length + MAX_RECORD_OVERHEAD
      if (length <= settings.maxMessageBytes) return message
      const text = `message is too large. table:${event.schema}.${event.table}, length:${length}, maxMessageBytes:${settings.maxMessageBytes}`
      throw new CdcError('CDC:ErrMessageTooLarge', text)
    },
    watermark: (ts) => control(() => format.watermark(ts)),
    bootstrap: (table) => control(() => format.bootstrap(table)),
    ddlPartitions: 'all',
  }
}

function compileTable(
  table: TableVersion,
  settings: CodecSettings,
  format: SimpleFormat,
  large: LargeMessages,
): RowEncoder {
  const rows = format.compile(table)
  const write = (row: RowChange, stub: Stub | undefined): void => rows.write(row, stub)
  const writeStored = rows.writeStored?.bind(rows)
  const maxBytes = settings.maxMessageBytes - MAX_RECORD_OVERHEAD
  const tooLarge = (value: Uint8Array): CdcError =>
    messageTooLarge(table, value.length + MAX_RECORD_OVERHEAD, settings.maxMessageBytes)

  const encoder: RowEncoder = {
    encode(row, partition, messages) {
      if (row.before !== undefined || row.after !== undefined) encodeRow(write, row, partition, messages)
    },
    flush() {},
  }
  if (writeStored !== undefined)
    encoder.encodeStored = (row, partition, messages) => {
      if (row.before.present || row.after.present) encodeRow(writeStored, row, partition, messages)
    }
  return encoder

  function encodeRow<Row>(writeRow: WriteRow<Row>, row: Row, partition: number, messages: Messages): void {
    try {
      writeRow(row, undefined)
    } catch (error) {
      format.discard()
      throw error
    }
    const value = finish(format, large)
    const message = { partition, key: null, value, rows: 1 }
    messages.push(value.length <= maxBytes ? message : { ...message, ...stubOf(writeRow, row, value) })
  }

  /** What is sent for a row whose own message, `value`, is too large. */
  function stubOf<Row>(writeRow: WriteRow<Row>, row: Row, value: Uint8Array): Pick<EncodedMessage, 'value' | 'upload'> {
    const stub = large.stub(null, value)
    if (stub === undefined) throw tooLarge(value)
    writeRow(row, stub)
    const message = finish(format, large)
    if (message.length > maxBytes) throw tooLarge(message)
    return stub.upload === undefined ? { value: message } : { value: message, upload: stub.upload }
  }
}

type WriteRow<Row> = (row: Row, stub: Stub | undefined) => void

/** Ends the message: its bytes, compressed where that is wanted. */
function finish(format: SimpleFormat, large: LargeMessages): Uint8Array {
  if (large.compress === undefined) return format.take()
  const value = large.compress(format.peek())
  format.discard()
  return value
}
