import { tablePrefix } from '../../../tidb/key.ts'
import { integerOf, listOf, objectOf, stringifyJson } from '../../../tidb/json-big.ts'
import type { JsonObject } from '../../../tidb/json-big.ts'
import { rowIdCounterKey, tableKey } from '../../../tidb/meta-key.ts'
import { nameOf, tableInfoJson } from '../../../tidb/table-info-json.ts'
import type { TableInfo } from '../../../tidb/table-info.ts'
import {
  buildDefinitions,
  buildPartitioning,
  partitionCount,
  partitionPlaces,
  physicalTables,
  withDefinitions,
} from '../catalog/partitions.ts'
import type { Partitioning } from '../catalog/partitions.ts'
import type { Schema, Table } from '../catalog/schema.ts'
import { SqlError } from '../error.ts'
import type { AlterSpec, PartitionDefinitionNode, PartitionNode, PartitionSpec } from '../parser/ast.ts'
import { checkRowsFit, copyRows } from './backfill.ts'
import { Action } from './job.ts'
import type { JobRunner } from './job-runner.ts'
import { removeTable } from './job-runner.ts'

const KINDS: readonly AlterSpec['kind'][] = [
  'addPartition',
  'dropPartition',
  'truncatePartition',
  'coalescePartition',
  'reorganizePartition',
  'exchangePartition',
  'partitionBy',
  'removePartitioning',
]

const isPartitionSpec = (spec: AlterSpec): spec is PartitionSpec => KINDS.includes(spec.kind)

/** One table whose partitions change. */
interface Target {
  readonly jobs: JobRunner
  readonly schema: Schema
  readonly table: Table
}

/** Runs a clause about partitions; false where the statement has another. */
export async function alterPartitions(
  jobs: JobRunner,
  schema: Schema,
  table: Table,
  specs: readonly AlterSpec[],
): Promise<boolean> {
  const [spec] = specs
  if (spec === undefined || !isPartitionSpec(spec)) return false
  const target = { jobs, schema, table }
  if (spec.kind === 'partitionBy') await partitionBy(target, spec.partition)
  else if (table.info.partitions === undefined)
    throw new SqlError(1505, 'Partition management on a not partitioned table is not possible')
  else await changePartitions(target, spec)
  return true
}

function changePartitions(target: Target, spec: Exclude<PartitionSpec, { kind: 'partitionBy' }>): Promise<void> {
  const { info } = target.table
  switch (spec.kind) {
    case 'addPartition':
      return addPartitions(target, spec)
    case 'dropPartition':
      return dropPartitions(target, spec.names, spec.ifExists)
    case 'truncatePartition':
      return truncatePartitions(target, spec.names ?? (info.partitions ?? []).map(({ name }) => name.original))
    case 'coalescePartition':
      return resize(target, (info.partitions?.length ?? 0) - spec.count)
    case 'reorganizePartition':
      return reorganize(target, spec.names, spec.definitions)
    case 'exchangePartition':
      return exchange(target, spec)
    case 'removePartitioning':
      return removePartitioning(target)
  }
}

const RANGE = 1
const LIST = 3

const partitionOf = ({ stored }: Table): JsonObject => objectOf(stored['partition'])
const definitionsOf = (table: Table): JsonObject[] => listOf(partitionOf(table)['definitions']).map(objectOf)
const isBounded = (table: Table): boolean => [RANGE, LIST].includes(Number(partitionOf(table)['type']))

const repartitioned = (table: Table, { partitions, json }: Partitioning): Pick<Table, 'info' | 'stored'> => ({
  info: { ...table.info, partitions },
  stored: { ...table.stored, partition: json },
})

async function addPartitions(target: Target, spec: Extract<PartitionSpec, { kind: 'addPartition' }>): Promise<void> {
  const { jobs, table } = target
  if (!isBounded(table))
    return resize(target, (table.info.partitions?.length ?? 0) + (spec.count || spec.definitions.length))
  if (spec.count > 0) throw new SqlError(1492, 'For RANGE partitions each partition must be defined')
  const base = partitionOf(table)
  const build = (ids: readonly bigint[]): Partitioning =>
    withDefinitions(
      base,
      [...definitionsOf(table), ...buildDefinitions(spec.definitions, base, table.info, ids, jobs.scope.context)],
      table.info,
    )
  build(spec.definitions.map((_, i) => -1n - BigInt(i)))
  await change(target, Action.AddPartition, spec.definitions.length, build, {})
}

/** A job that gives the table another list of partitions. */
async function change(
  { jobs, schema, table }: Target,
  type: number,
  ids: number,
  build: (ids: readonly bigint[]) => Partitioning,
  args: JsonObject,
  prepare?: (ids: readonly bigint[]) => Promise<void>,
): Promise<void> {
  const made: bigint[] = []
  await jobs.run(
    schema,
    ids,
    (own, txn) => {
      made.splice(0, made.length, ...own)
      const { info, stored } = repartitioned(table, build(own))
      return jobs.tableChange(type, table.database, { ...info, updateTs: txn.startTs }, stored, { rawArgs: args })
    },
    prepare,
  )
  for (const id of made) await jobs.engine.store.split(tablePrefix(id), jobs.scope.signal)
}

async function dropPartitions(target: Target, names: readonly string[], ifExists: boolean): Promise<void> {
  const { table, jobs } = target
  if (!isBounded(table)) throw new SqlError(1512, 'DROP PARTITION can only be used on RANGE/LIST partitions')
  const places = placesOf(table.info, names, ifExists)
  if (places.length === 0) return jobs.scope.warn(1507, 'Error in list of partitions to DROP')
  const kept = definitionsOf(table).filter((_, i) => !places.includes(i))
  if (kept.length === 0) throw new SqlError(1508, 'Cannot remove all partitions, use DROP TABLE instead')
  const args = { partition_names: names, old_physical_table_ids: idsAt(table.info, places) }
  await change(target, Action.DropPartition, 0, () => withDefinitions(partitionOf(table), kept, table.info), args)
}

function placesOf(info: TableInfo, names: readonly string[], ifExists: boolean): number[] {
  const known = (name: string): boolean =>
    info.partitions?.some((one) => one.name.lower === name.toLowerCase()) === true
  if (!ifExists && names.some((name) => !known(name))) throw new SqlError(1507, 'Error in list of partitions to DROP')
  return partitionPlaces(info, names.filter(known))
}

const idsAt = (info: TableInfo, places: readonly number[]): bigint[] =>
  places.map((place) => info.partitions?.[place]?.id ?? 0n)

async function truncatePartitions(target: Target, names: readonly string[]): Promise<void> {
  const { table } = target
  const places = partitionPlaces(table.info, names)
  const build = (ids: readonly bigint[]): Partitioning =>
    withDefinitions(
      partitionOf(table),
      definitionsOf(table).map((one, i) => (places.includes(i) ? { ...one, id: ids[places.indexOf(i)] ?? 0n } : one)),
      table.info,
    )
  const args = { old_physical_table_ids: idsAt(table.info, places) }
  await change(target, Action.TruncatePartition, places.length, build, args)
}

/** HASH and KEY partitions are made anew when their number changes, which TiDB calls a reorganization. */
async function resize(target: Target, count: number): Promise<void> {
  const { table } = target
  if (isBounded(table)) throw new SqlError(1509, 'COALESCE PARTITION can only be used on HASH/KEY partitions')
  if (count < 1) throw new SqlError(1508, 'Cannot remove all partitions, use DROP TABLE instead')
  const before = definitionsOf(table)
  const fresh = Array.from({ length: count }, (_, i): JsonObject => {
    const name = before[i]?.['name'] ?? { O: `p${i}`, L: `p${i}` }
    return { ...before[0], name }
  })
  await rearrange(target, fresh, before, [])
}

async function reorganize(
  target: Target,
  names: readonly string[],
  nodes: readonly PartitionDefinitionNode[],
): Promise<void> {
  const { table, jobs } = target
  if (!isBounded(table))
    throw new SqlError(
      1510,
      'REORGANIZE PARTITION can only be used to reorganize partitions not to change their numbers',
    )
  const places = partitionPlaces(table.info, names).toSorted((a, b) => a - b)
  const first = places[0] ?? 0
  if (places.some((place, i) => place !== first + i) && Number(partitionOf(table)['type']) === RANGE)
    throw new SqlError(8200, 'Unsupported REORGANIZE PARTITION of RANGE; not adjacent partitions')
  const base = partitionOf(table)
  const fresh = buildDefinitions(nodes, base, table.info, [], jobs.scope.context)
  const before = definitionsOf(table)
  const kept = before.filter((_, i) => !places.includes(i))
  await rearrange(
    target,
    fresh,
    before.filter((_, i) => places.includes(i)),
    kept,
    first,
  )
}

/** Puts `fresh` definitions in the place of `old` ones, with their rows. */
async function rearrange(
  target: Target,
  fresh: readonly JsonObject[],
  old: readonly JsonObject[],
  kept: readonly JsonObject[],
  first = 0,
): Promise<void> {
  const { table, jobs } = target
  const build = (ids: readonly bigint[]): Partitioning => {
    const numbered = fresh.map((one, i) => ({ ...one, id: ids[i] ?? 0n }))
    return withDefinitions(partitionOf(table), [...kept.slice(0, first), ...numbered, ...kept.slice(first)], table.info)
  }
  build([])
  const oldIds = old.map((one) => integerOf(one['id']))
  const from = physicalTables(table.info).filter(({ id }) => oldIds.includes(id))
  const args = { partition_names: old.map((one) => nameOf(one['name']).original) }
  await change(target, Action.ReorganizePartition, fresh.length, build, args, (ids) =>
    copyRows(jobs.backfill, from, repartitioned(table, build(ids))),
  )
}

async function partitionBy(target: Target, node: PartitionNode): Promise<void> {
  const { table, jobs } = target
  const count = partitionCount(node)
  const build = ([id = 0n, ...parts]: readonly bigint[]): Pick<Table, 'info' | 'stored'> => {
    const plain = { ...table.info, id, partitions: undefined }
    const { partitions, json } = buildPartitioning(node, plain, parts, jobs.scope.context)
    return { info: { ...plain, partitions }, stored: { ...table.stored, partition: json } }
  }
  build(Array.from({ length: count + 1 }, () => 0n))
  await renew(target, Action.PartitionBy, count + 1, build)
}

async function removePartitioning(target: Target): Promise<void> {
  const { table } = target
  await renew(target, Action.RemovePartitioning, 1, ([id = 0n]) => ({
    info: { ...table.info, id, partitions: undefined },
    stored: { ...table.stored, partition: null },
  }))
}

/** The table under a new id, with its rows. */
async function renew(
  { jobs, schema, table }: Target,
  type: number,
  count: number,
  build: (ids: readonly bigint[]) => Pick<Table, 'info' | 'stored'>,
): Promise<void> {
  const { signal } = jobs.scope
  const made: bigint[] = []
  await jobs.engine.autoIds.forget(table, signal)
  const base = await jobs.engine.autoIds.stored(table, signal)
  await jobs.run(
    schema,
    count,
    (ids, txn) => {
      made.splice(0, made.length, ...ids)
      const { info, stored } = build(ids)
      return jobs.tableChange(
        type,
        table.database,
        { ...info, updateTs: txn.startTs },
        stored,
        { tableId: table.info.id, rawArgs: { new_partition_ids: ids.slice(1) } },
        (inner) => {
          removeTable(inner, table)
          if (base > 0n) inner.put(rowIdCounterKey(table.database.id, info.id), Buffer.from(String(base)))
        },
        { table_id: info.id, old_table_id: table.info.id },
      )
    },
    (ids) => copyRows(jobs.backfill, physicalTables(table.info), build(ids)),
  )
  for (const id of made) await jobs.engine.store.split(tablePrefix(id), signal)
}

/** A partition and a table without partitions change their rows: that is, their ids. */
async function exchange(
  { jobs, schema, table }: Target,
  spec: Extract<PartitionSpec, { kind: 'exchangePartition' }>,
): Promise<void> {
  const other = jobs.table(schema, spec.table)
  const [place = 0] = partitionPlaces(table.info, [spec.name])
  const partitionId = idsAt(table.info, [place])[0] ?? 0n
  if (other.info.partitions !== undefined)
    throw new SqlError(1732, `Table to exchange with partition is partitioned: '${other.info.name.original}'`)
  if (shapeOf(other.info) !== shapeOf(table.info)) throw new SqlError(1736, 'Tables have different definitions')
  if (spec.validate) await checkRowsFit(jobs.backfill, other.info, table, place)
  const { autoIds } = jobs.engine
  await autoIds.forget(table, jobs.scope.signal)
  await autoIds.forget(other, jobs.scope.signal)
  const counters = [await autoIds.stored(table, jobs.scope.signal), await autoIds.stored(other, jobs.scope.signal)]
  const base = counters.reduce((most, one) => (one > most ? one : most))
  const definitions = definitionsOf(table).map((one, i) => (i === place ? { ...one, id: other.info.id } : one))
  const after = repartitioned(table, withDefinitions(partitionOf(table), definitions, table.info))
  await jobs.run(schema, 0, (_ids, txn) => {
    const plain = tableInfoJson({ ...other.info, id: partitionId, updateTs: txn.startTs }, other.stored)
    const partitioned = { ...after.info, updateTs: txn.startTs }
    const changed = jobs.tableChange(
      Action.ExchangePartition,
      table.database,
      partitioned,
      after.stored,
      {
        schemaId: other.database.id,
        tableId: other.info.id,
        schemaName: other.database.name.original,
        tableName: other.info.name.original,
        rawArgs: {
          partition_id: partitionId,
          pt_schema_id: table.database.id,
          pt_table_id: table.info.id,
          partition_name: spec.name,
          with_validation: spec.validate,
        },
      },
      (inner) => {
        removeTable(inner, other)
        inner.put(tableKey(other.database.id, partitionId), Buffer.from(stringifyJson(plain, { html: true })))
        if (base === 0n) return
        inner.put(rowIdCounterKey(other.database.id, partitionId), Buffer.from(String(base)))
        inner.put(rowIdCounterKey(table.database.id, table.info.id), Buffer.from(String(base)))
      },
      { table_id: partitionId, old_table_id: other.info.id, old_schema_id: other.database.id },
    )
    return changed
  })
}

/** Columns and keys of a table, without ids of it: what must be alike for an exchange. */
const shapeOf = (info: TableInfo): string =>
  stringifyJson([
    info.columns.map(({ id, name, type, generatedExpr }) => [id, name.lower, { ...type }, generatedExpr]),
    info.indexes.map(({ id, name, unique, primary, columns }) => [
      id,
      name.lower,
      unique,
      primary,
      columns.map(({ offset, length }) => [offset, length]),
    ]),
    [info.pkIsHandle, info.isCommonHandle],
  ])
