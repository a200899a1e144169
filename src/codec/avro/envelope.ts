import { CdcError } from '../../base/errors.ts'
import type { SchemaId } from './registry.ts'

/** First bytes: of a message with an id of a Confluent registry, and of one with a UUID of AWS Glue, uncompressed. */
const CONFLUENT = 0
const GLUE = 3
const GLUE_PLAIN = 0

/** Reference: protocols-avro-simple-debezium, A.8. */
export function confluentHeader(id: number): Uint8Array {
  const header = new Uint8Array(5)
  new DataView(header.buffer).setUint32(1, id)
  return header
}

export function glueHeader(uuid: string): Uint8Array {
  return Uint8Array.from([GLUE, GLUE_PLAIN, ...Buffer.from(uuid.replaceAll('-', ''), 'hex')])
}

/** Header and record of a message apart. Error: `CDC:ErrAvroInvalidMessage`. */
export function openEnvelope(message: Uint8Array): { readonly id: SchemaId; readonly record: Uint8Array } {
  if (message[0] === CONFLUENT && message.length >= 5)
    return { id: new DataView(message.buffer, message.byteOffset).getUint32(1), record: message.subarray(5) }
  if (message[0] === GLUE && message[1] === GLUE_PLAIN && message.length >= 18) {
    const hex = Buffer.from(message.subarray(2, 18)).toString('hex')
    const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    return { id, record: message.subarray(18) }
  }
  throw new CdcError('CDC:ErrAvroInvalidMessage', 'avro invalid message format, it has no header of a schema registry')
}
