/** How a DDL changes the set of databases and tables (reference: schema-tracking, section 2.3). */
export type Effect =
  | 'create-schema'
  | 'replace-schema'
  | 'drop-schema'
  | 'create-table'
  | 'create-tables'
  | 'replace-table'
  | 'drop-table'
  | 'truncate-table'
  | 'rename-table'
  | 'rename-tables'
  | 'exchange-partition'
  | 'alter-partitioning'

export interface Action {
  readonly effect: Effect
  /** Which spans must reach the DDL before it runs: all, or those of the table that it changes. */
  readonly barrier: 'global' | 'table'
}

/** TiDB's action codes that the code names. */
export const ActionType = {
  CreateSchema: 1,
  DropSchema: 2,
  CreateTable: 3,
  DropTable: 4,
  TruncateTable: 11,
  RenameTable: 14,
  CreateView: 21,
  DropView: 24,
  ModifySchemaCharset: 26,
  ExchangePartition: 42,
  RenameTables: 47,
  CreateTables: 60,
} as const

const replace: Action = { effect: 'replace-table', barrier: 'table' }
const replaceGlobal: Action = { effect: 'replace-table', barrier: 'global' }

/**
 * Actions that are replicated; any other neither changes the schema here nor is sent (reference: schema-tracking,
 * section 2.2).
 */
const ACTIONS: ReadonlyMap<number, Action> = new Map([
  [1, { effect: 'create-schema', barrier: 'global' }],
  [2, { effect: 'drop-schema', barrier: 'global' }],
  [3, { effect: 'create-table', barrier: 'global' }],
  [4, { effect: 'drop-table', barrier: 'table' }],
  [5, replace], // add column
  [6, replace], // drop column
  [7, replace], // add index
  [8, replace], // drop index
  [9, replaceGlobal], // add foreign key
  [10, replaceGlobal], // drop foreign key
  [11, { effect: 'truncate-table', barrier: 'table' }],
  [12, replace], // modify column
  [13, replace], // rebase auto_increment id
  [14, { effect: 'rename-table', barrier: 'global' }],
  [15, replace], // set default value
  [17, replace], // modify table comment
  [18, replace], // rename index
  [19, replace], // add partition
  [20, replace], // drop partition
  [21, { effect: 'create-table', barrier: 'table' }], // create view
  [22, replace], // modify table charset and collate
  [23, replace], // truncate partition
  [24, { effect: 'drop-table', barrier: 'table' }], // drop view
  [25, { effect: 'create-table', barrier: 'table' }], // recover table
  [26, { effect: 'replace-schema', barrier: 'global' }],
  [32, replace], // add primary key
  [33, replace], // drop primary key
  [37, replaceGlobal], // add columns
  [38, replaceGlobal], // drop columns
  [41, replace], // alter index visibility
  [42, { effect: 'exchange-partition', barrier: 'global' }],
  [47, { effect: 'rename-tables', barrier: 'global' }],
  [60, { effect: 'create-tables', barrier: 'global' }],
  [61, replace], // multi-schema change
  [64, replace], // reorganize partition
  [65, replace], // alter ttl
  [67, replace], // remove ttl
  [71, { effect: 'alter-partitioning', barrier: 'table' }], // partition by
  [72, { effect: 'alter-partitioning', barrier: 'table' }], // remove partitioning
])

/** undefined = not replicated. */
export const actionOf = (type: number): Action | undefined => ACTIONS.get(type)
