import { compressionsAlgorithms, crc32c } from '@platformatic/kafka'
import type { Compression } from '../../config/sink-settings.ts'

/** Key and value of a record; null = it has none. */
export interface Message {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
}

/** Who wrote a batch, for the broker's check of duplicates and order; `sequence` is the first record's. */
export interface ProducerMark {
  readonly producerId: bigint
  readonly epoch: number
  readonly sequence: number
}

/** Marks the batches of a producer that is not idempotent. */
export const noProducer: ProducerMark = { producerId: -1n, epoch: -1, sequence: -1 }

/** Bytes of a batch before its records. */
export const BATCH_HEADER_BYTES = 61
/** Most that a record takes beyond its key and value: five varints of five bytes, a 64-bit varint, attributes. */
export const RECORD_OVERHEAD_BYTES = 5 * 5 + 10 + 1

const COMPRESSION_BITS: Record<Compression, number> = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }

const CRC_AT = 17
const ATTRIBUTES_AT = 21
const PRODUCER_AT = 43

/**
 * A record batch of format 2 without offsets (the broker gives them), all records with one timestamp. Source: Apache
 * Kafka documentation, "Record Batch". The result owns its bytes; the messages may go.
 */
export function encodeRecordBatch(
  messages: readonly Message[],
  compression: Compression,
  timestampMs: number,
  mark: ProducerMark,
): Buffer {
  let size = BATCH_HEADER_BYTES
  for (const { key, value } of messages) size += (key?.length ?? 0) + (value?.length ?? 0) + RECORD_OVERHEAD_BYTES
  const plain = Buffer.allocUnsafeSlow(size)
  const end = writeRecords(messages, plain, BATCH_HEADER_BYTES)
  const batch = compression === 'none' ? plain.subarray(0, end) : compress(plain, end, compression)
  const view = viewOf(batch)
  view.setBigInt64(0, 0n) // base offset
  view.setInt32(8, batch.length - 12) // bytes after this field
  view.setInt32(12, -1) // partition leader epoch
  view.setInt8(16, 2) // magic
  view.setInt16(ATTRIBUTES_AT, COMPRESSION_BITS[compression])
  view.setInt32(23, messages.length - 1) // last offset delta
  view.setBigInt64(27, BigInt(timestampMs))
  view.setBigInt64(35, BigInt(timestampMs))
  view.setInt32(57, messages.length)
  markRecordBatch(batch, mark)
  return batch
}

/** Writes another producer, epoch and sequence into an encoded batch; the records stay as they are. */
export function markRecordBatch(batch: Buffer, mark: ProducerMark): void {
  const view = viewOf(batch)
  view.setBigInt64(PRODUCER_AT, mark.producerId)
  view.setInt16(PRODUCER_AT + 8, mark.epoch)
  view.setInt32(PRODUCER_AT + 10, mark.sequence)
  view.setUint32(CRC_AT, crc32c(batch.subarray(ATTRIBUTES_AT)))
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

function writeRecords(messages: readonly Message[], out: Buffer, start: number): number {
  let at = start
  for (let i = 0; i < messages.length; i++) {
    const message = messages[i]
    if (message === undefined) continue
    const { key, value } = message
    // attributes, timestamp delta and the count of headers are one zero byte each
    at = writeVarint(out, at, 3 + varintBytes(i) + partBytes(key) + partBytes(value))
    out[at++] = 0
    out[at++] = 0
    at = writeVarint(out, at, i)
    at = writePart(out, at, key)
    at = writePart(out, at, value)
    out[at++] = 0
  }
  return at
}

/** Of a key or value behind its length. */
const partBytes = (part: Uint8Array | null): number => (part === null ? 1 : varintBytes(part.length) + part.length)

function writePart(out: Buffer, start: number, part: Uint8Array | null): number {
  if (part === null) {
    out[start] = 1 // zigzag of -1
    return start + 1
  }
  const at = writeVarint(out, start, part.length)
  out.set(part, at)
  return at + part.length
}

/** Length of the zigzag varint of `value` ≥ 0. */
function varintBytes(value: number): number {
  return value < 0x40 ? 1 : value < 0x2000 ? 2 : value < 0x10_0000 ? 3 : value < 0x800_0000 ? 4 : 5
}

/** Writes the zigzag varint of `value` ≥ 0 and returns the position after it. */
function writeVarint(out: Buffer, start: number, value: number): number {
  let at = start
  let rest = value * 2
  while (rest > 0x7f) {
    out[at++] = (rest & 0x7f) | 0x80
    rest = Math.floor(rest / 128)
  }
  out[at++] = rest
  return at
}

function compress(plain: Buffer, end: number, compression: Compression): Buffer {
  const records = compressionsAlgorithms[compression].compressSync(plain.subarray(BATCH_HEADER_BYTES, end))
  const batch = Buffer.allocUnsafeSlow(BATCH_HEADER_BYTES + records.length)
  batch.set(records, BATCH_HEADER_BYTES)
  return batch
}
