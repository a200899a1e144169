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

const NOTHING = new Uint8Array()

/**
 * Messages in order, as columns: where key and value lie instead of an object for each. The blocks are never written
 * again after a message in them was added.
 */
export class Messages implements Iterable<EncodedMessage> {
  readonly partitions: number[] = []
  /** Rows of each message. */
  readonly rows: number[] = []
  readonly keyBlocks: Uint8Array[] = []
  /** -1 = no key. */
  readonly keyAt: number[] = []
  readonly keyEnd: number[] = []
  readonly valueBlocks: Uint8Array[] = []
  /** -1 = a tombstone. */
  readonly valueAt: number[] = []
  readonly valueEnd: number[] = []
  /** By message; most have none. */
  uploads: Map<number, Upload> | undefined
  /** Sum over keys and values. */
  bytes = 0
  /** Sum over `rows`. */
  rowCount = 0

  static of(messages: Iterable<EncodedMessage>): Messages {
    const packed = new Messages()
    for (const message of messages) packed.push(message)
    return packed
  }

  get length(): number {
    return this.partitions.length
  }

  /** A message without key whose value is `block[at, end)`. */
  addValue(partition: number, block: Uint8Array, at: number, end: number, rows: number): void {
    this.add(partition, NOTHING, -1, -1, block, at, end, rows)
  }

  add(
    partition: number,
    keyBlock: Uint8Array,
    keyAt: number,
    keyEnd: number,
    valueBlock: Uint8Array,
    valueAt: number,
    valueEnd: number,
    rows: number,
  ): void {
    this.partitions.push(partition)
    this.rows.push(rows)
    this.keyBlocks.push(keyBlock)
    this.keyAt.push(keyAt)
    this.keyEnd.push(keyEnd)
    this.valueBlocks.push(valueBlock)
    this.valueAt.push(valueAt)
    this.valueEnd.push(valueEnd)
    this.bytes += keyEnd - keyAt + valueEnd - valueAt
    this.rowCount += rows
  }

  push({ partition, key, value, rows, upload }: EncodedMessage): void {
    if (upload !== undefined) (this.uploads ??= new Map()).set(this.length, upload)
    const [keyAt, keyEnd] = key === null ? [-1, -1] : [0, key.length]
    const [valueAt, valueEnd] = value === null ? [-1, -1] : [0, value.length]
    this.add(partition, key ?? NOTHING, keyAt, keyEnd, value ?? NOTHING, valueAt, valueEnd, rows)
  }

  key(index: number): Uint8Array | null {
    const at = this.keyAt[index] ?? -1
    return at < 0 ? null : (this.keyBlocks[index] ?? NOTHING).subarray(at, this.keyEnd[index])
  }

  /** A view. */
  value(index: number): Uint8Array | null {
    const at = this.valueAt[index] ?? -1
    return at < 0 ? null : (this.valueBlocks[index] ?? NOTHING).subarray(at, this.valueEnd[index])
  }

  /** The message as an object of its own; for what is not called for every row. */
  at(index: number): EncodedMessage | undefined {
    const partition = this.partitions[index]
    if (partition === undefined) return undefined
    const message = { partition, key: this.key(index), value: this.value(index), rows: this.rows[index] ?? 0 }
    const upload = this.uploads?.get(index)
    return upload === undefined ? message : { ...message, upload }
  }

  *[Symbol.iterator](): Generator<EncodedMessage> {
    for (let index = 0; index < this.length; index++) {
      const message = this.at(index)
      if (message !== undefined) yield message
    }
  }
}

/** What a row plan makes of a raw batch: messages of one table version, in order. */
export interface EncodedBatch {
  readonly table: TableVersion
  /** Empty where the sink has no topics. */
  readonly topic: string
  readonly messages: Messages
  readonly end: Position
}
