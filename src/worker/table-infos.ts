import type { SchemaVersion } from '../changefeed/messages.ts'
import type { TableVersion } from '../event/table-version.ts'
import { wrapTable } from '../event/wrap-table.ts'
import { parseTableInfo } from '../tidb/table-info-json.ts'

interface KeptInfo {
  readonly info: NonNullable<SchemaVersion['info']>
  /** Versions of physical tables that have it. */
  users: number
  /** Read when a row needs it first; its physical table is any of those. */
  table: TableVersion | undefined
}

/**
 * The table infos of a run, each kept and read once however many partitions have it. Whoever takes one gives it back
 * once; the last one drops it.
 */
export class TableInfos {
  readonly #kept = new Map<number, KeptInfo>()

  get size(): number {
    return this.#kept.size
  }

  /** Returns the schema to keep instead: its info is the one that the others have. */
  take(schema: SchemaVersion): SchemaVersion {
    const { info } = schema
    if (info === undefined) return schema
    const kept = this.#kept.getOrInsertComputed(info.number, () => ({ info, users: 0, table: undefined }))
    kept.users++
    return { ...schema, info: kept.info }
  }

  giveBack({ info }: SchemaVersion): void {
    if (info === undefined) return
    const kept = this.#kept.get(info.number)
    if (kept !== undefined && --kept.users === 0) this.#kept.delete(info.number)
  }

  /** Of a schema that is taken: with its own id and the columns and keys of all. */
  tableOf({ physicalId, schema, version, info }: SchemaVersion): TableVersion {
    const kept = info && this.#kept.get(info.number)
    if (kept === undefined) throw new RangeError(`table ${physicalId} has no info at ${version}`)
    kept.table ??= wrapTable(parseTableInfo(kept.info.json), schema, version, physicalId)
    return { ...kept.table, physicalId, schema, version }
  }
}
