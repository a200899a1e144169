import { CdcError, isAbort } from '../../base/errors.ts'
import type { Fence } from '../../base/fence.ts'
import type { StorageSettings } from '../../config/sink-settings.ts'
import type { EncodedBatch, Messages } from '../../event/encoded.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { type ObjectStorage, openStorage } from '../../storage/storage.ts'
import { type SinkMetrics, sinkMetrics } from '../metrics.ts'
import type { SinkContext } from '../sink-context.ts'
import type { ControlSink, RowSink } from '../sink.ts'
import { watchAborts } from '../watch-aborts.ts'
import { datePartOf, pathName } from './data-path.ts'
import { columnDefinitions, type SchemaDefinition, schemaFilePath, schemaFileText } from './schema-file.ts'
import { TableFolders } from './table-folders.ts'

/** What waits to be written for one table version. */
interface OpenFile {
  readonly table: TableVersion
  chunks: Uint8Array[]
  bytes: number
  rows: number
  waiting: PromiseWithResolvers<void>[]
  /** The write before, so that files of a table follow each other. */
  writing: Promise<void>
}

/** Files of rows; a write resolves when its file and the index that names it are stored. */
export async function openStorageRowSink(
  settings: StorageSettings,
  context: SinkContext,
  signal: AbortSignal,
): Promise<RowSink> {
  signal.throwIfAborted()
  const storage = await openStorage(settings.location)
  await storage.check()
  return new StorageRowSink(settings, context, storage)
}

class StorageRowSink implements RowSink {
  readonly #settings: StorageSettings
  readonly #storage: ObjectStorage
  readonly #headOf: (table: TableVersion) => Uint8Array | undefined
  readonly #fence: Fence
  readonly #clock: SinkContext['clock']
  readonly #metrics: SinkMetrics
  readonly #folders: TableFolders
  readonly #dateOf: (nowMs: number) => string
  readonly #terminator: Uint8Array
  readonly #open = new Map<TableVersion, OpenFile>()
  readonly #life = new AbortController()
  readonly #watch = watchAborts((reason) => this.#fail(reason), this.#life.signal)
  readonly #flushing: Promise<void>
  #failure: Error | undefined

  constructor(settings: StorageSettings, context: SinkContext, storage: ObjectStorage) {
    this.#storage = storage
    this.#headOf = context.protocol?.fileHead ?? (() => undefined)
    this.#settings = settings
    this.#fence = context.fence
    this.#clock = context.clock
    this.#metrics = sinkMetrics(context.metrics, context.changefeed, 'storage')
    this.#folders = new TableFolders(storage, settings)
    this.#dateOf = datePartOf(settings.dateSeparator, context.timeZone)
    this.#terminator = Buffer.from(settings.codec.terminator)
    this.#flushing = this.#flushEvery(settings.flushIntervalMs)
  }

  write(batch: EncodedBatch, signal: AbortSignal): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (signal.aborted) return Promise.reject(signal.reason)
    if (batch.messages.length === 0) return Promise.resolve()
    const file = this.#open.getOrInsertComputed(batch.table, newFile)
    const head = file.chunks.length === 0 ? this.#headOf(batch.table) : undefined
    if (head !== undefined) file.chunks.push(head)
    const lines = terminated(batch.messages, this.#terminator)
    file.chunks.push(lines)
    file.bytes += lines.length
    file.rows += batch.messages.rowCount
    const written = Promise.withResolvers<void>()
    file.waiting.push(written)
    if (file.bytes >= this.#settings.fileSizeBytes) this.#flush(file)
    this.#watch(signal)
    return written.promise
  }

  async partitions(): Promise<number> {
    return 1
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const files = [...this.#open.values()]
    this.#fail(new CdcError('CDC:ErrS3StorageAPI', 'the storage sink is closed'))
    this.#life.abort()
    await Promise.all([this.#flushing, ...files.map((file) => file.writing)])
    this.#storage[Symbol.dispose]()
  }

  async #flushEvery(intervalMs: number): Promise<void> {
    try {
      for (;;) {
        await this.#clock.sleep(intervalMs, this.#life.signal)
        for (const file of this.#open.values()) this.#flush(file)
      }
    } catch (error) {
      if (!isAbort(error)) throw error
    }
  }

  /** Ends the file; what comes later goes into the next one. */
  #flush(file: OpenFile): void {
    if (file.chunks.length === 0) {
      // A table version that got nothing for a whole interval; it comes back with its next row.
      if (file.waiting.length === 0) this.#open.delete(file.table)
      return
    }
    const { table, chunks, waiting, rows, bytes, writing } = file
    Object.assign(file, { chunks: [], bytes: 0, rows: 0, waiting: [] })
    file.writing = writing.then(() => this.#put(table, chunks, waiting, rows, bytes))
  }

  async #put(
    table: TableVersion,
    chunks: readonly Uint8Array[],
    waiting: readonly PromiseWithResolvers<void>[],
    rows: number,
    bytes: number,
  ): Promise<void> {
    try {
      if (this.#failure !== undefined) throw this.#failure
      if (!this.#fence.open()) throw fenced()
      await this.#folders.write(table, this.#dateOf(this.#clock.now()), chunks)
      this.#metrics.rows(rows, bytes)
      for (const each of waiting) each.resolve()
    } catch (error) {
      this.#fail(error)
      for (const each of waiting) each.reject(this.#failure)
    }
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = error instanceof Error ? error : new Error('storage sink failed', { cause: error })
    if (!isAbort(error)) this.#metrics.error()
    for (const file of this.#open.values()) for (const each of file.waiting) each.reject(this.#failure)
    this.#open.clear()
  }
}

/** All values with a terminator behind each, in memory of their own. */
function terminated(messages: Messages, terminator: Uint8Array): Uint8Array {
  const { length, valueBlocks, valueAt, valueEnd } = messages
  const out = Buffer.allocUnsafeSlow(messages.bytes + length * terminator.length)
  let at = 0
  for (let i = 0; i < length; i++) {
    const block = valueBlocks[i]
    const from = valueAt[i] ?? -1
    if (block === undefined || from < 0) throw new TypeError('a file takes no tombstones')
    const value = block.subarray(from, valueEnd[i])
    out.set(value, at)
    out.set(terminator, at + value.length)
    at += value.length + terminator.length
  }
  // Keys are not written.
  return out.subarray(0, at)
}

const newFile = (table: TableVersion): OpenFile => ({
  table,
  chunks: [],
  bytes: 0,
  rows: 0,
  waiting: [],
  writing: Promise.resolve(),
})

const fenced = (): CdcError =>
  new CdcError('CDC:ErrCaptureSuicide', 'the lease of this capture has ended, nothing more is written')

/** Schema files for DDLs, and the file `metadata` with the checkpoint. */
export async function openStorageControlSink(
  settings: StorageSettings,
  context: SinkContext,
  signal: AbortSignal,
): Promise<ControlSink> {
  signal.throwIfAborted()
  const storage = await openStorage(settings.location)
  await storage.check()
  const metrics = sinkMetrics(context.metrics, context.changefeed, 'storage')

  async function put(path: string, text: string): Promise<void> {
    if (!context.fence.open()) throw fenced()
    await storage.write(path, [Buffer.from(text)])
  }

  return {
    async ddl(event, abort) {
      abort.throwIfAborted()
      const since = context.clock.monotonic()
      const table = event.after ?? event.before
      const definition: SchemaDefinition = {
        schema: pathName(event.schema),
        table: pathName(event.table),
        version: event.commitTs,
        query: event.query,
        type: event.type,
        columns: event.table === '' || table === undefined ? [] : columnDefinitions(table.info),
      }
      await put(schemaFilePath(definition), schemaFileText(definition))
      metrics.ddl((context.clock.monotonic() - since) / 1000)
    },
    async watermark(ts, _tables, abort) {
      abort.throwIfAborted()
      await put('metadata', `{"checkpoint-ts":${ts}}`)
    },
    async [Symbol.asyncDispose]() {
      storage[Symbol.dispose]()
    },
  }
}
