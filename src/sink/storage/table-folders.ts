import type { StorageSettings } from '../../config/sink-settings.ts'
import type { TableVersion } from '../../event/table-version.ts'
import type { ObjectStorage } from '../../storage/storage.ts'
import { dataExtension, dataFileName, dataFolder, INDEX_FILE, parseDataFileName, pathName } from './data-path.ts'
import {
  columnDefinitions,
  metaFolder,
  parseSchemaPath,
  schemaChecksum,
  type SchemaDefinition,
  schemaFilePath,
  schemaFileText,
} from './schema-file.ts'

/** Where the next data file of a table version goes. What it learns from the storage it keeps for its life. */
export class TableFolders {
  readonly #storage: ObjectStorage
  readonly #settings: StorageSettings
  readonly #extension: string
  /** Table version → version in the path of its data. */
  readonly #versions = new WeakMap<TableVersion, bigint>()
  /** Data folder → index of the last file in it. */
  readonly #lastIndex = new Map<string, bigint>()

  constructor(storage: ObjectStorage, settings: StorageSettings) {
    this.#storage = storage
    this.#settings = settings
    this.#extension = dataExtension(settings.codec.protocol)
  }

  /** Writes one data file and then the index file that names it; both are on disk when it resolves. */
  async write(table: TableVersion, date: string, chunks: readonly Uint8Array[]): Promise<void> {
    const folder = dataFolder(table, await this.#directoryVersion(table), date, this.#settings)
    const index = (await this.#last(folder)) + 1n
    const name = dataFileName(index, this.#settings.fileIndexDigits, this.#extension)
    await this.#storage.write(`${folder}/${name}`, chunks)
    await this.#storage.write(`${folder}/${INDEX_FILE}`, [Buffer.from(`${name}\n`)])
    this.#lastIndex.set(folder, index)
  }

  /** Version in the path of the table's data; its schema file is on disk when this resolves. */
  async #directoryVersion(table: TableVersion): Promise<bigint> {
    const known = this.#versions.get(table)
    if (known !== undefined) return known
    const definition: SchemaDefinition = {
      schema: pathName(table.schema),
      table: pathName(table.table),
      version: table.version,
      query: '',
      type: 0,
      columns: columnDefinitions(table.info),
    }
    const existing = await this.#existing(definition)
    if (existing === undefined)
      await this.#storage.write(schemaFilePath(definition), [Buffer.from(schemaFileText(definition))])
    const version = existing ?? table.version
    this.#versions.set(table, version)
    return version
  }

  /** The greatest version, not after the definition's own, whose schema file has the same structure. */
  async #existing(definition: SchemaDefinition): Promise<bigint | undefined> {
    const folder = metaFolder(definition.schema, definition.table)
    const checksum = schemaChecksum(definition)
    let greatest: bigint | undefined
    for (const name of await this.#storage.list(folder)) {
      const file = parseSchemaPath(`${folder}/${name}`)
      if (file?.checksum !== checksum || file.version > definition.version) continue
      if (greatest === undefined || file.version > greatest) greatest = file.version
    }
    return greatest
  }

  async #last(folder: string): Promise<bigint> {
    const known = this.#lastIndex.get(folder)
    if (known !== undefined) return known
    const file = await this.#storage.read(`${folder}/${INDEX_FILE}`)
    const extension = this.#extension
    const named = file === undefined ? 0n : parseDataFileName(Buffer.from(file).toString('utf8').trimEnd(), extension)
    // A crash may have left a data file that no index names yet, or an index that names a file that is missing.
    let last = named > 0n && !(await this.#holds(folder, named)) ? named - 1n : named
    while (await this.#holds(folder, last + 1n)) last++
    return last
  }

  async #holds(folder: string, index: bigint): Promise<boolean> {
    return (
      (await this.#storage.size(`${folder}/${dataFileName(index, this.#settings.fileIndexDigits, this.#extension)}`)) >
      0
    )
  }
}
