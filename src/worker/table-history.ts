import { CdcError } from '../base/errors.ts'
import type { SchemaVersion } from '../changefeed/messages.ts'
import { previousTs, type Ts } from '../tidb/ts.ts'
import type { RowPlan } from './row-plan.ts'
import type { TableInfos } from './table-infos.ts'

interface Version {
  readonly schema: SchemaVersion
  plan: Promise<RowPlan> | undefined
}

/** The schema versions of one physical table, oldest first; plans are compiled when a row needs them. */
export class TableHistory implements Disposable {
  readonly physicalId: bigint
  /** Spans of the table in this worker. */
  spans = 0
  readonly #infos: TableInfos
  #versions: Version[] = []

  constructor(physicalId: bigint, infos: TableInfos) {
    this.physicalId = physicalId
    this.#infos = infos
  }

  /** Takes a version to its place; one of the same ts is replaced. */
  add(schema: SchemaVersion): void {
    const added = { schema: this.#infos.take(schema), plan: undefined }
    const at = this.#versions.findIndex((version) => version.schema.version >= schema.version)
    const replaces = this.#versions[at]?.schema.version === schema.version
    const replaced = this.#versions.splice(at < 0 ? this.#versions.length : at, replaces ? 1 : 0, added)
    this.#giveBack(replaced)
  }

  /** The plan for a row with this commitTs: of the schema valid at commitTs - 1. */
  planAt(commitTs: Ts, compile: (schema: SchemaVersion) => Promise<RowPlan>): Promise<RowPlan> {
    const at = previousTs(commitTs)
    const version = this.#versions.findLast(({ schema }) => schema.version <= at)
    if (version?.schema.info === undefined) {
      const text = `no schema of table ${this.physicalId} is known at ts ${at}`
      throw new CdcError('CDC:ErrSchemaSnapshotNotFound', text)
    }
    version.plan ??= compile(version.schema)
    return version.plan
  }

  /** First version above `commitTs - 1`; rows from its ts + 1 on need another plan. */
  endOfPlan(commitTs: Ts): Ts | undefined {
    const at = previousTs(commitTs)
    return this.#versions.find(({ schema }) => schema.version > at)?.schema.version
  }

  /** Plans hold what a sink told them (partitions): after a rebuilt sink they are compiled anew. */
  forgetPlans(): void {
    for (const version of this.#versions) version.plan = undefined
  }

  /** Drops the versions that no row above `checkpointTs` can need. True when there is no more than one left. */
  release(checkpointTs: Ts): boolean {
    const last = this.#versions.findLastIndex(({ schema }) => schema.version <= checkpointTs)
    if (last > 0) this.#giveBack(this.#versions.splice(0, last))
    return this.#versions.length <= 1
  }

  [Symbol.dispose](): void {
    this.#giveBack(this.#versions.splice(0))
  }

  #giveBack(versions: readonly Version[]): void {
    for (const { schema } of versions) this.#infos.giveBack(schema)
  }
}
