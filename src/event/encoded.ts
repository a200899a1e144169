import type { Position } from './raw-kv.ts'
import type { TableVersion } from './table-version.ts'

/** One message: key and value as a consumer sees them. `rows` of it are acknowledged with it. */
export interface EncodedMessage {
  readonly partition: number
  /** null = the record has no key. */
  readonly key: Uint8Array | null
  /** null = a tombstone: the row of this key was deleted. */
  readonly value: Uint8Array | null
  readonly rows: number
  /** What must lie in storage before the message is sent, because it points there. */
  readonly upload?: Upload
}

/** An object of the storage that `claim-check-storage-uri` names. */
export interface Upload {
  readonly name: string
  readonly content: Uint8Array
}

/** What a row plan makes of a raw batch: messages of one table version, in order. */
export interface EncodedBatch {
  readonly table: TableVersion
  /** Empty where the sink has no topics. */
  readonly topic: string
  readonly messages: readonly EncodedMessage[]
  /** Sum over keys and values. */
  readonly bytes: number
  readonly end: Position
}
