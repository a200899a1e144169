import { compressionsAlgorithms, crc32c, Writer } from '@platformatic/kafka'
import type { Compression } from '../../config/sink-settings.ts'
import type { Messages } from '../../event/encoded.ts'
import type { BatchMemory } from './batch-memory.ts'

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

const COMPRESSION_BITS: Record<Compression, number> = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }

const CRC_AT = 17
const ATTRIBUTES_AT = 21
const PRODUCER_AT = 43
const NOTHING = new Uint8Array()

/**
 * A record batch of format 2 without offsets (the broker gives them), all records with one timestamp: first it takes
 * messages, copying their bytes once, then it is sealed. Source: Apache Kafka documentation, "Record Batch".
 */
export class RecordBatch {
  readonly #memory: BatchMemory
  readonly #limitBytes: number
  #bytes: Buffer
  #end = BATCH_HEADER_BYTES
  #records = 0
  #sealed = false

  /** `limitBytes` bounds it before compression; `expectedBytes` is a guess of its size. */
  constructor(memory: BatchMemory, limitBytes: number, expectedBytes: number) {
    this.#memory = memory
    this.#limitBytes = limitBytes
    this.#bytes = memory.take(memory.guess(expectedBytes))
  }

  get records(): number {
    return this.#records
  }

  get length(): number {
    return this.#end
  }

  /** The whole batch once it is sealed; a view. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#end)
  }

  /** Appends a message; false where it has no place here. An empty batch takes any. */
  add(messages: Messages, index: number): boolean {
    const keyAt = messages.keyAt[index] ?? -1
    const valueAt = messages.valueAt[index] ?? -1
    const keyBytes = keyAt < 0 ? -1 : (messages.keyEnd[index] ?? 0) - keyAt
    const valueBytes = valueAt < 0 ? -1 : (messages.valueEnd[index] ?? 0) - valueAt
    const records = this.#records
    // attributes, timestamp delta and the count of headers are one zero byte each
    const length = 3 + varintBytes(records) + partBytes(keyBytes) + partBytes(valueBytes)
    const start = this.#end
    const end = start + varintBytes(length) + length
    if (this.#sealed || (end > this.#limitBytes && records > 0)) return false
    if (end > this.#bytes.length) this.#grow(end)
    const bytes = this.#bytes
    let at = writeVarint(bytes, start, length)
    bytes[at++] = 0
    bytes[at++] = 0
    at = writeVarint(bytes, at, records)
    at = keyBytes < 0 ? writeNull(bytes, at) : writePart(bytes, at, messages.keyBlocks[index], keyAt, keyBytes)
    at = valueBytes < 0 ? writeNull(bytes, at) : writePart(bytes, at, messages.valueBlocks[index], valueAt, valueBytes)
    bytes[at] = 0
    this.#end = end
    this.#records = records + 1
    return true
  }

  /** Ends the batch, once: compresses its records where that makes them shorter, and writes its header, all but the mark and the checksum. */
  seal(compression: Compression, timestampMs: number): void {
    if (this.#sealed) return
    this.#sealed = true
    const compressed = this.#compress(compression)
    const view = viewOf(this.#bytes)
    view.setBigInt64(0, 0n) // base offset
    view.setInt32(8, this.#end - 12) // bytes after this field
    view.setInt32(12, -1) // partition leader epoch
    view.setInt8(16, 2) // magic
    view.setInt16(ATTRIBUTES_AT, COMPRESSION_BITS[compressed])
    view.setInt32(23, this.#records - 1) // last offset delta
    view.setBigInt64(27, BigInt(timestampMs))
    view.setBigInt64(35, BigInt(timestampMs))
    view.setInt32(57, this.#records)
  }

  /** The batch is done with. Its memory is used again where nothing reads it any more. */
  free(unread: boolean): void {
    if (unread) this.#memory.give(this.#bytes)
    else this.#memory.forget(this.#bytes)
    this.#bytes = Buffer.alloc(0)
    this.#end = 0
    this.#sealed = true
  }

  #grow(needed: number): void {
    const former = this.#bytes
    // Twice as much each time, so that a byte is moved once on average.
    this.#bytes = this.#memory.take(Math.max(needed, Math.min(2 * former.length, this.#limitBytes)))
    former.copy(this.#bytes, 0, 0, this.#end)
    this.#memory.give(former)
  }

  /** The compression that it has: records that would not get shorter stay as they are, within their limit. */
  #compress(wanted: Compression): Compression {
    if (wanted === 'none') return wanted
    const plain = this.#bytes.subarray(BATCH_HEADER_BYTES, this.#end)
    const records = compressionsAlgorithms[wanted].compressSync(plain)
    if (records.length >= plain.length) return 'none'
    plain.set(records)
    this.#end = BATCH_HEADER_BYTES + records.length
    return wanted
  }
}

/** Writes producer, epoch and sequence into a sealed batch, and its checksum; the records stay as they are. */
export function markRecordBatch(batch: Buffer, mark: ProducerMark): void {
  const view = viewOf(batch)
  view.setBigInt64(PRODUCER_AT, mark.producerId)
  view.setInt16(PRODUCER_AT + 8, mark.epoch)
  view.setInt32(PRODUCER_AT + 10, mark.sequence)
  view.setUint32(CRC_AT, checksum(batch.subarray(ATTRIBUTES_AT)))
}

/** The library copies a plain Buffer before it computes; what its writer holds it takes as it is. */
const checksum = (bytes: Buffer): number => crc32c(Writer.create().append(bytes).dynamicBuffer)

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Bytes of a key or value behind its length; -1 = it is null. */
const partBytes = (length: number): number => (length < 0 ? 1 : varintBytes(length) + length)

function writeNull(out: Buffer, at: number): number {
  out[at] = 1 // zigzag of -1
  return at + 1
}

function writePart(out: Buffer, start: number, block: Uint8Array = NOTHING, from: number, length: number): number {
  const at = writeVarint(out, start, length)
  out.set(block.subarray(from, from + length), at)
  return at + length
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
