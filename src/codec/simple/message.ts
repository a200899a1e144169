import type { RowChecksums } from '../../event/row-change.ts'
import type { Ts } from '../../tidb/ts.ts'
import type { TableSchema } from './table-schema.ts'

/** One message as it stands; the values of a row have no types before its table's schema is known. */
export type SimpleMessage = SimpleRowMessage | SimpleDdl | SimpleWatermark | SimpleBootstrap

/** JSON: a text or null. Avro: as its branch says; UNSIGNED BIGINT is never negative. */
export type RawValue = null | string | number | bigint | Uint8Array | ZonedText

/** A TIMESTAMP with the zone in which it is given. */
export interface ZonedText {
  readonly location: string
  readonly value: string
}

export type RawValues = ReadonlyMap<string, RawValue>

export interface SimpleRowMessage {
  readonly kind: 'row'
  readonly schema: string
  readonly table: string
  /** Of the partition, where the table has any. */
  readonly tableId: bigint
  readonly commitTs: Ts
  readonly buildTs: number
  readonly schemaVersion: bigint
  readonly before: RawValues | undefined
  readonly after: RawValues | undefined
  /** Only columns of the handle key are there: the message was too large for more. */
  readonly onlyHandleKey: boolean
  /** Where the whole message lies, in external storage; to be looked at first. */
  readonly claimCheckLocation: string | undefined
  readonly checksum: RowChecksums | undefined
}

export interface SimpleDdl {
  readonly kind: 'ddl'
  readonly type: string
  readonly query: string
  readonly commitTs: Ts
  readonly buildTs: number
  readonly tableSchema: TableSchema | undefined
  readonly preTableSchema: TableSchema | undefined
}

export interface SimpleWatermark {
  readonly kind: 'watermark'
  readonly watermarkTs: Ts
  readonly buildTs: number
}

export interface SimpleBootstrap {
  readonly kind: 'bootstrap'
  readonly buildTs: number
  readonly tableSchema: TableSchema
}
