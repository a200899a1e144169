import { ByteWriter } from '../../../tidb/byte-writer.ts'
import { datumEnd } from '../../../tidb/datum.ts'
import { indexPrefix, recordKey } from '../../../tidb/key.ts'
import { compileRowDecoder } from '../../../tidb/row-decoder.ts'
import {
  encodeHandle,
  encodeIndexEntry,
  encodeTableRow,
  handleOfDistinctValue,
  indexDatums,
  primaryOffset,
} from '../../../tidb/table-codec.ts'
import type { IndexInfo, TableInfo } from '../../../tidb/table-info.ts'
import { utcZone } from '../../../tidb/time-zone.ts'
import type { Value as StoredValue } from '../../../tidb/value.ts'
import type { TimeZone } from '../value/time-zone.ts'
import type { Row, Value } from '../value/value.ts'
import { fromStored, storedType, toStored } from './stored-value.ts'

/** One key of an index. `unique`: no other row may have it; a NULL among the columns makes an entry not unique. */
export interface IndexEntry {
  readonly index: IndexInfo
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly unique: boolean
}

/** How rows of one physical table in one version become keys and values, decided once. */
export interface TableAccess {
  /** Its id is physical: of a partition, that of the partition. */
  readonly info: TableInfo
  /** Offset of the column that is the int handle; -1 = none. */
  readonly handleOffset: number
  /** The handle of a row; `rowId` is used where the table has no clustered key. */
  handleOf(row: Row, rowId: bigint): Uint8Array
  recordKey(handle: Uint8Array): Uint8Array
  encode(row: Row): Uint8Array
  decode(key: Uint8Array, value: Uint8Array, zone: TimeZone): Row
  indexEntries(row: Row, handle: Uint8Array): IndexEntry[]
  /** Key of a unique index for column values, or what keys of the index begin with for its first columns. */
  indexKey(index: IndexInfo, values: readonly Value[]): Uint8Array
  /** The handle in an index pair. */
  handleOfEntry(index: IndexInfo, key: Uint8Array, value: Uint8Array): Uint8Array
}

const compiled = new WeakMap<TableInfo, TableAccess>()

/** Of a table without partitions, or of one partition (see `partitionsOf`). */
export function accessOf(info: TableInfo): TableAccess {
  let access = compiled.get(info)
  if (access === undefined) {
    access = compileAccess(info)
    compiled.set(info, access)
  }
  return access
}

function compileAccess(info: TableInfo): TableAccess {
  const stored: TableInfo = {
    ...info,
    columns: info.columns.map((column) => ({ ...column, type: storedType(column.type) })),
  }
  const indexes = stored.indexes.filter((index) => !(index.primary && info.isCommonHandle))
  const decoder = compileRowDecoder(stored, stored.columns, utcZone)
  const valuesOf = (row: Row): StoredValue[] =>
    info.columns.map(({ type }, offset) => {
      const value = row[offset] ?? null
      return value === null ? null : toStored(value, type)
    })

  return {
    info,
    handleOffset: primaryOffset(info),
    handleOf: (row, rowId) => encodeHandle(stored, valuesOf(row), rowId, utcZone),
    recordKey: (handle) => recordKey(info.id, handle),
    encode: (row) => encodeTableRow(stored, valuesOf(row), utcZone),
    decode: (key, value, zone) =>
      decoder(key, value).map((cell, i) => fromStored(cell, info.columns[i]?.type ?? missing(), zone)),
    indexEntries: (row, handle) => {
      if (indexes.length === 0) return []
      const at = { tableId: info.id, handle, row: valuesOf(row), zone: utcZone }
      return indexes.map((index) => {
        const { key, value, distinct } = encodeIndexEntry(stored, index, at)
        return { index, key, value, unique: distinct }
      })
    },
    indexKey: (index, values) => {
      const columns = index.columns.slice(0, values.length)
      const row: Value[] = []
      for (const [i, { offset }] of columns.entries()) row[offset] = values[i] ?? null
      return new ByteWriter(64)
        .append(indexPrefix(info.id, BigInt(index.id)))
        .append(indexDatums(stored, { ...index, columns }, valuesOf(row), utcZone))
        .finish()
    },
    handleOfEntry: (index, key, value) => handleInEntry(info, index, key, value),
  }
}

function missing(): never {
  throw new RangeError('a row has more values than its table has columns')
}

/** A distinct entry ends with its columns; any other has the handle behind them. */
function handleInEntry(info: TableInfo, index: IndexInfo, key: Uint8Array, value: Uint8Array): Uint8Array {
  let at = indexPrefix(info.id, BigInt(index.id)).length
  for (let n = 0; n < index.columns.length; n++) at = datumEnd(key, at)
  if (at === key.length) return handleOfDistinctValue(info, value)
  return key.subarray(info.isCommonHandle ? at : at + 1)
}
