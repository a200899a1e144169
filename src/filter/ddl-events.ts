/** A DDL that can be replicated: its name in `ignore-event`, and whether `alter table` names it too. */
interface DdlEventName {
  readonly name: string
  readonly codes: readonly number[]
  readonly alterTable: boolean
}

const event = (name: string, ...codes: number[]): DdlEventName => ({ name, codes, alterTable: false })
const alter = (name: string, ...codes: number[]): DdlEventName => ({ name, codes, alterTable: true })

/** The allow list: DDL of every other action code is dropped without a word (reference: filters, section 5). */
const DDL_EVENTS: readonly DdlEventName[] = [
  event('create database', 1),
  event('drop database', 2),
  event('modify schema charset and collate', 26),
  event('create table', 3, 60),
  event('drop table', 4),
  event('truncate table', 11),
  event('recover table', 25),
  event('create view', 21),
  event('drop view', 24),
  event('add foreign key', 9),
  event('drop foreign key', 10),
  alter('rename table', 14, 47),
  alter('modify table comment', 17),
  alter('modify table charset and collate', 22),
  alter('add table partition', 19),
  alter('drop table partition', 20),
  alter('truncate table partition', 23),
  alter('exchange table partition', 42),
  alter('reorganize table partition', 64),
  alter('alter table partitioning', 71),
  alter('remove table partitioning', 72),
  alter('add column', 5, 37),
  alter('drop column', 6, 38),
  alter('modify column', 12),
  alter('set default value', 15),
  alter('rebase auto id', 13),
  alter('add primary key', 32),
  alter('drop primary key', 33),
  alter('create index', 7),
  alter('drop index', 8),
  alter('rename index', 18),
  alter('alter index visibility', 41),
  alter('alter ttl info', 65),
  alter('alter ttl remove', 67),
  alter('multi schema change', 61),
]

const byCode = new Map(DDL_EVENTS.flatMap((one) => one.codes.map((code) => [code, one])))

const ALIASES: Readonly<Record<string, string>> = { 'create schema': 'create database', 'drop schema': 'drop database' }
const GROUPS: readonly string[] = ['all dml', 'all ddl', 'insert', 'update', 'delete', 'alter table']

/** Every word that `ignore-event` accepts, lower case only. */
export const IGNORABLE_EVENTS: ReadonlySet<string> = new Set([
  ...GROUPS,
  ...Object.keys(ALIASES),
  ...DDL_EVENTS.map(({ name }) => name),
])

/** TiDB action code → may it be replicated at all? */
export const isReplicatedDdl = (type: number): boolean => byCode.has(type)

/** CREATE, DROP and ALTER DATABASE. */
export const isSchemaDdl = (type: number): boolean => type === 1 || type === 2 || type === 26

/** `ignored`: words of an `ignore-event` list. */
export function ignoresDdlType(ignored: readonly string[], type: number): boolean {
  const found = byCode.get(type)
  if (found === undefined) return false
  return ignored.some(
    (word) =>
      word === 'all ddl' || (word === 'alter table' && found.alterTable) || (ALIASES[word] ?? word) === found.name,
  )
}
