import { CdcError } from '../base/errors.ts'
import { compareTs } from '../tidb/ts.ts'
import type { Ts } from '../tidb/ts.ts'

export interface SchemaEntry {
  readonly id: bigint
  readonly name: string
}

/** A logical table in one version. The info stays bytes until somebody needs it: there may be a million tables. */
export interface TableEntry {
  readonly id: bigint
  readonly schemaId: bigint
  readonly name: string
  /** model.TableInfo JSON, never changed: threads share it. */
  readonly info: Uint8Array<SharedArrayBuffer>
  /** The table's own id, or the ids of its partitions. */
  readonly physicalIds: readonly bigint[]
  readonly partitioned: boolean
  readonly eligible: boolean
  /** Its rows are replicated: eligible, matched by the filter, neither view nor sequence. */
  readonly replicated: boolean
}

interface Version<T> {
  readonly since: Ts
  /** undefined = gone from `since` on. */
  readonly value: T | undefined
}

/** Values by id that change over time; versions of one id are in ascending order. */
class VersionedMap<T> {
  readonly #versions = new Map<bigint, Version<T>[]>()
  /** Ids with more than one version, or whose only version is a removal: what a collection has to look at. */
  readonly #changed = new Set<bigint>()

  set(id: bigint, since: Ts, value: T | undefined): void {
    const list = this.#versions.get(id)
    if (list === undefined) {
      this.#versions.set(id, [{ since, value }])
      if (value === undefined) this.#changed.add(id)
      return
    }
    if (list.at(-1)?.since === since) list.pop()
    list.push({ since, value })
    if (list.length > 1) this.#changed.add(id)
  }

  at(id: bigint, ts: Ts): T | undefined {
    return this.versionAt(id, ts)?.value
  }

  versionAt(id: bigint, ts: Ts): Version<T> | undefined {
    return this.#versions.get(id)?.findLast((version) => version.since <= ts)
  }

  latest(id: bigint): T | undefined {
    return this.#versions.get(id)?.at(-1)?.value
  }

  versions(id: bigint): readonly Version<T>[] {
    return this.#versions.get(id) ?? []
  }

  *allAt(ts: Ts): Generator<T> {
    for (const id of this.#versions.keys()) {
      const value = this.at(id, ts)
      if (value !== undefined) yield value
    }
  }

  /** Forgets what no look-up at or above `ts` can find. */
  collect(ts: Ts): void {
    for (const id of this.#changed) {
      const list = this.#versions.get(id) ?? []
      const first = list.findLastIndex((version) => version.since <= ts)
      if (first > 0) list.splice(0, first)
      if (list.length > 1) continue
      if (list[0]?.value === undefined && (first >= 0 || list.length === 0)) this.#versions.delete(id)
      if (list[0]?.value !== undefined || !this.#versions.has(id)) this.#changed.delete(id)
    }
  }
}

/** One version of the schema of a physical table; rows with commitTs > `since` are decoded with it. */
export interface PhysicalVersion {
  readonly since: Ts
  /** undefined = the physical table is gone. */
  readonly table: TableEntry | undefined
}

/**
 * Databases and tables at every ts from the snapshot's on. Effects are those of TiDB's DDL on metadata (reference:
 * schema-tracking, section 2.3); they come in order of `ts`, several of one job carry the same.
 */
export class SchemaHistory {
  readonly #schemas = new VersionedMap<SchemaEntry>()
  readonly #tables = new VersionedMap<TableEntry>()
  /** Physical id → id of the logical table it belongs to: exchanging a partition moves one. */
  readonly #owners = new VersionedMap<bigint>()
  #floor: Ts

  /** Nothing is known below `floor`. */
  constructor(floor: Ts) {
    this.#floor = floor
  }

  get floor(): Ts {
    return this.#floor
  }

  schemaAt(id: bigint, ts: Ts): SchemaEntry | undefined {
    this.#check(ts)
    return this.#schemas.at(id, ts)
  }

  tableAt(id: bigint, ts: Ts): TableEntry | undefined {
    this.#check(ts)
    return this.#tables.at(id, ts)
  }

  tablesAt(ts: Ts): Iterable<TableEntry> {
    this.#check(ts)
    return this.#tables.allAt(ts)
  }

  latestSchema(id: bigint): SchemaEntry | undefined {
    return this.#schemas.latest(id)
  }

  latestTable(id: bigint): TableEntry | undefined {
    return this.#tables.latest(id)
  }

  /** The table that a physical id belonged to at `ts`, and since when its present schema holds. */
  physicalAt(physicalId: bigint, ts: Ts): PhysicalVersion | undefined {
    this.#check(ts)
    return this.#physicalVersions(physicalId).findLast((version) => version.since <= ts)
  }

  /** The version that holds at `from` and all later ones. */
  physicalFrom(physicalId: bigint, from: Ts): readonly PhysicalVersion[] {
    this.#check(from)
    const all = this.#physicalVersions(physicalId)
    return all.slice(
      Math.max(
        0,
        all.findLastIndex((version) => version.since <= from),
      ),
    )
  }

  createSchema(schema: SchemaEntry, ts: Ts): void {
    if (this.#schemas.latest(schema.id) !== undefined)
      throw new CdcError('CDC:ErrSnapshotSchemaExists', `schema ${schema.name}(${schema.id}) already exists`)
    this.#schemas.set(schema.id, ts, schema)
  }

  replaceSchema(schema: SchemaEntry, ts: Ts): void {
    this.#schemaOrThrow(schema.id)
    this.#schemas.set(schema.id, ts, schema)
  }

  dropSchema(id: bigint, ts: Ts): void {
    this.#schemaOrThrow(id)
    for (const table of this.#tables.allAt(ts)) if (table.schemaId === id) this.dropTable(table.id, ts)
    this.#schemas.set(id, ts, undefined)
  }

  createTable(table: TableEntry, ts: Ts): void {
    this.#schemaOrThrow(table.schemaId)
    if (this.#tables.latest(table.id) !== undefined)
      throw new CdcError('CDC:ErrSnapshotTableExists', `table ${table.name}(${table.id}) already exists`)
    this.#put(table, ts)
  }

  replaceTable(table: TableEntry, ts: Ts): void {
    this.#schemaOrThrow(table.schemaId)
    const before = this.#tableOrThrow(table.id)
    for (const id of before.physicalIds) if (!table.physicalIds.includes(id)) this.#owners.set(id, ts, undefined)
    this.#put(table, ts)
  }

  dropTable(id: bigint, ts: Ts): void {
    for (const physicalId of this.#tableOrThrow(id).physicalIds) this.#owners.set(physicalId, ts, undefined)
    this.#tables.set(id, ts, undefined)
  }

  /** Forgets what no look-up at or above `ts` can find. */
  collect(ts: Ts): void {
    if (compareTs(ts, this.#floor) <= 0) return
    this.#floor = ts
    this.#schemas.collect(ts)
    this.#tables.collect(ts)
    this.#owners.collect(ts)
  }

  #put(table: TableEntry, ts: Ts): void {
    this.#tables.set(table.id, ts, table)
    for (const id of table.physicalIds) this.#owners.set(id, ts, table.id)
  }

  /** Owner changes and changes of the owners' tables, merged. */
  #physicalVersions(physicalId: bigint): readonly PhysicalVersion[] {
    const found: PhysicalVersion[] = []
    const owners = this.#owners.versions(physicalId)
    for (const [i, { since, value: owner }] of owners.entries()) {
      if (owner === undefined) {
        found.push({ since, table: undefined })
        continue
      }
      const until = owners[i + 1]?.since
      const start = this.#tables.versionAt(owner, since)
      if (start !== undefined) found.push({ since, table: start.value })
      for (const version of this.#tables.versions(owner))
        if (version.since > since && (until === undefined || version.since < until))
          found.push({ since: version.since, table: version.value })
    }
    return found
  }

  #check(ts: Ts): void {
    if (ts < this.#floor)
      throw new CdcError('CDC:ErrSchemaStorageGCed', `schema at ${ts} was asked for, the oldest kept is ${this.#floor}`)
  }

  #schemaOrThrow(id: bigint): SchemaEntry {
    const schema = this.#schemas.latest(id)
    if (schema === undefined) throw new CdcError('CDC:ErrSnapshotSchemaNotFound', `schema ${id} is not in the snapshot`)
    return schema
  }

  #tableOrThrow(id: bigint): TableEntry {
    const table = this.#tables.latest(id)
    if (table === undefined) throw new CdcError('CDC:ErrSnapshotTableNotFound', `table ${id} is not in the snapshot`)
    return table
  }
}
