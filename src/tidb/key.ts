import { CdcError } from '../base/errors.ts'
import { ByteWriter } from './byte-writer.ts'

/** Half-open range `[start, end)` of keys. */
export interface ByteRange {
  readonly start: Uint8Array
  readonly end: Uint8Array
}

/** What a record key names. `handle` is a view: 8 bytes for an int handle, else memcomparable datums. */
export interface RecordKey {
  readonly tableId: bigint
  readonly handle: Uint8Array
}

const TABLE = 0x74
const KEYSPACE = 0x78
const SIGN = 1n << 63n
const RECORD_KEY_LENGTH = 19
/** A shorter common handle is padded with zero bytes, so that it is never taken for an int handle. */
const MIN_COMMON_HANDLE = 9

/** Byte order; the shorter of two keys with a common prefix comes first. */
export const compareBytes = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b)

export const hexOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')

/**
 * Memcomparable form: groups of 8 bytes, each followed by `0xff - padding`; the last group is always padded. Source:
 * TiDB pkg/util/codec (reference: tidb-storage, 2.2).
 */
export function encodeBytes(raw: Uint8Array): Uint8Array {
  const groups = Math.floor(raw.length / 8) + 1
  const out = new Uint8Array(groups * 9)
  for (let group = 0; group < groups; group++) {
    const from = group * 8
    const count = Math.min(8, raw.length - from)
    for (let i = 0; i < count; i++) out[group * 9 + i] = raw[from + i] ?? 0
    out[group * 9 + 8] = 0xff - (8 - count)
  }
  return out
}

/** Reads one memcomparable string at `offset`; `end` is where the rest begins. RangeError where the form is broken. */
export function decodeBytes(encoded: Uint8Array, offset = 0): { readonly raw: Uint8Array; readonly end: number } {
  const end = encodedBytesEnd(encoded, offset)
  const last = end - 9
  const padding = 0xff - (encoded[end - 1] ?? 0)
  const raw = new Uint8Array(((end - offset) / 9) * 8 - padding)
  for (let at = offset, to = 0; at < end; at += 9, to += 8) {
    const count = at === last ? 8 - padding : 8
    for (let i = 0; i < count; i++) raw[to + i] = encoded[at + i] ?? 0
  }
  for (let at = end - 1 - padding; at < end - 1; at++)
    if (encoded[at] !== 0) throw new RangeError(`padding of a memcomparable string is not zero at offset ${at}`)
  return { raw, end }
}

/** Where the memcomparable string at `offset` ends. */
export function encodedBytesEnd(encoded: Uint8Array, offset: number): number {
  for (let at = offset; ; at += 9) {
    const marker = encoded[at + 8]
    if (marker === undefined) throw new RangeError(`memcomparable string ends early at offset ${encoded.length}`)
    if (marker < 0xf7) throw new RangeError(`memcomparable marker ${marker} at offset ${at + 8}`)
    if (marker !== 0xff) return at + 9
  }
}

/** 8 bytes whose byte order is the order of signed integers. */
export const encodeInt = (value: bigint): Uint8Array => new ByteWriter(8).u64be(value ^ SIGN).finish()

/** The signed integer of 8 bytes at `offset`. */
export function decodeInt(bytes: Uint8Array, offset = 0): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return BigInt.asIntN(64, view.getBigUint64(offset) ^ SIGN)
}

/** `t` + table id: where every key of a table begins. */
export const tablePrefix = (tableId: bigint): Uint8Array =>
  new ByteWriter(9)
    .u8(TABLE)
    .u64be(tableId ^ SIGN)
    .finish()

/** Records of a physical table, memcomparable: the form of PD's region keys and of event feeds. */
export function tableRecordRange(tableId: bigint): ByteRange {
  recordPrefixView.setBigUint64(1, tableId ^ SIGN)
  const start = encodeBytes(recordPrefix)
  const end = start.slice()
  // Behind the eight bytes of a group and their mark.
  end[11] = 0x73
  return { start, end }
}

/** Records of a physical table as raw keys: `t<id>_r` until `t<id>_s`. */
export function rawRecordRange(tableId: bigint): ByteRange {
  return { start: tableKey(tableId, 'r').finish(), end: tableKey(tableId, 's').finish() }
}

/** Raw key of a row. `handle`: see {@link intHandle} and {@link commonHandle}. */
export const recordKey = (tableId: bigint, handle: Uint8Array): Uint8Array =>
  tableKey(tableId, 'r').append(handle).finish()

/** `t<id>_i<index id>`: where every key of an index begins. */
export const indexPrefix = (tableId: bigint, indexId: bigint): Uint8Array =>
  tableKey(tableId, 'i')
    .u64be(indexId ^ SIGN)
    .finish()

/** The handle of a row whose primary key is an integer, or of one without clustered key (`_tidb_rowid`). */
export const intHandle = encodeInt

/** The handle of a row with another clustered key: its memcomparable datums in index order. */
export function commonHandle(datums: Uint8Array): Uint8Array {
  if (datums.length >= MIN_COMMON_HANDLE) return datums
  const padded = new Uint8Array(MIN_COMMON_HANDLE)
  padded.set(datums)
  return padded
}

/** Splits a raw record key, with or without keyspace prefix. Error: `CDC:ErrInvalidRecordKey`. */
export function decodeRecordKey(key: Uint8Array): RecordKey {
  const at = keyspacePrefixLength(key)
  if (key.length - at < RECORD_KEY_LENGTH || key[at] !== TABLE || key[at + 9] !== 0x5f || key[at + 10] !== 0x72)
    throw new CdcError('CDC:ErrInvalidRecordKey', `invalid record key ${hexOf(key)}`)
  return { tableId: decodeInt(key, at + 1), handle: key.subarray(at + 11) }
}

/** Where the handle begins in a raw record key, or -1 where the key is not one of a record. */
export const handleOffset = (key: Uint8Array): number => handleOffsetIn(key, 0, key.length)

/** The same of the key `bytes[start, end)`; the offset counts from the beginning of `bytes`. */
export function handleOffsetIn(bytes: Uint8Array, start: number, end: number): number {
  const at = end - start > 4 && bytes[start] === KEYSPACE ? start + 4 : start
  const fine = end - at >= RECORD_KEY_LENGTH && bytes[at] === TABLE && bytes[at + 9] === 0x5f && bytes[at + 10] === 0x72
  return fine ? at + 11 : -1
}

/** 4 for a key of API V2 (`x` + 3 bytes of keyspace id), else 0. */
export const keyspacePrefixLength = (key: Uint8Array): number => (key.length > 4 && key[0] === KEYSPACE ? 4 : 0)

/** What stands before every raw key of a keyspace (API V2). */
export const keyspacePrefix = (id: number): Uint8Array => Buffer.of(KEYSPACE, id >>> 16, id >>> 8, id)

/** The least key that is greater than every key with this prefix; the prefix is not all 0xff. */
export function prefixNext(prefix: Uint8Array): Uint8Array {
  const next = prefix.slice()
  for (let i = next.length - 1; i >= 0; i--) {
    const byte = next[i] ?? 0
    if (byte < 0xff) {
      next[i] = byte + 1
      return next.subarray(0, i + 1)
    }
  }
  throw new RangeError('no key follows a prefix of 0xff bytes')
}

const tableKey = (tableId: bigint, kind: 'r' | 's' | 'i'): ByteWriter =>
  new ByteWriter(32)
    .u8(TABLE)
    .u64be(tableId ^ SIGN)
    .u8(0x5f)
    .u8(kind.charCodeAt(0))

/** `t<id>_r` with the id asked for last: ranges of ten thousand tables are made at once. */
const recordPrefix = tableKey(0n, 'r').finish()
const recordPrefixView = new DataView(recordPrefix.buffer)
