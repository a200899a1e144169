import { crc32 } from 'node:zlib'
import { ByteWriter } from './byte-writer.ts'
import { Kind, kindOf } from './cell.ts'
import { handleOffset, keyspacePrefixLength } from './key.ts'
import type { ColumnInfo, FieldType } from './table-info.ts'
import type { Value } from './value.ts'

/** Checksum section of a row v2 (reference: tidb-storage, 6.3). */
export interface RowChecksum {
  /** 0: over column values; 1: over the row's bytes and its key; 2: over the row's bytes and its handle. */
  readonly version: number
  readonly checksum: number
  /** Version 0 while a DDL is under way: by the other of the two schemas. */
  readonly extra: number | undefined
  /** Offset of the section's first byte. */
  readonly offset: number
}

const ROW_V2 = 128
const LARGE = 1
const HAS_CHECKSUM = 2
const HAS_EXTRA = 8
const utf8 = new TextEncoder()

/** undefined where the row has none. RangeError where it is broken or of an unknown version. */
export function readRowChecksum(value: Uint8Array): RowChecksum | undefined {
  const flags = value[1] ?? 0
  if (value[0] !== ROW_V2 || (flags & HAS_CHECKSUM) === 0) return undefined
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
  const large = (flags & LARGE) !== 0
  const stored = view.getUint16(2, true)
  const ends = 6 + (stored + view.getUint16(4, true)) * (large ? 4 : 1)
  const data = ends + stored * (large ? 4 : 2)
  const lastEnd = data - (large ? 4 : 2)
  const offset = data + (stored === 0 ? 0 : large ? view.getUint32(lastEnd, true) : view.getUint16(lastEnd, true))
  const header = view.getUint8(offset)
  const version = header & 7
  if (version > 2) throw new RangeError(`row checksum of unknown version ${version}`)
  return {
    version,
    checksum: view.getUint32(offset + 1, true),
    extra: (header & HAS_EXTRA) === 0 ? undefined : view.getUint32(offset + 5, true),
    offset,
  }
}

/** What versions 1 and 2 should hold, from the stored bytes and the raw record key. */
export function rawRowChecksum(value: Uint8Array, key: Uint8Array, section: RowChecksum): number {
  const over = crc32(value.subarray(0, section.offset + 1))
  return crc32(key.subarray(section.version === 1 ? keyspacePrefixLength(key) : handleOffset(key)), over)
}

/**
 * The checksum of version 0, also what consumers get: CRC-32 over the values in the order of column ids. TIMESTAMP
 * values are given in UTC. `columns` and `values` have the same order.
 */
export function columnChecksum(columns: readonly ColumnInfo[], values: readonly Value[]): number {
  const order = columns.map((column, at) => ({ column, value: values[at] ?? null }))
  const writer = new ByteWriter(256)
  for (const { column, value } of order.toSorted((a, b) => a.column.id - b.column.id))
    writeChecksumColumn(writer, column.type, value)
  return crc32(writer.finish())
}

/** Appends what one column contributes; NULL nothing. */
export function writeChecksumColumn(writer: ByteWriter, type: FieldType, value: Value): void {
  if (value === null || kindOf(type) === Kind.None) return
  if (value instanceof Float32Array) {
    writer.u32le(value.length)
    for (const element of value) writer.f32le(element)
  } else if (typeof value === 'string' || value instanceof Uint8Array) {
    const bytes = typeof value === 'string' ? utf8.encode(value) : value
    writer.u32le(bytes.length).append(bytes)
  } else if (isFloat(type)) writer.f64le(Number.isFinite(Number(value)) ? Number(value) : 0)
  else writer.u64le(BigInt(value))
}

const isFloat = (type: FieldType): boolean => kindOf(type) === Kind.Float || kindOf(type) === Kind.Double
