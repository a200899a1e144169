import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { testTable } from '../../test/support/table-version.ts'
import type { EventFilterConfig } from '../config/replica-config.ts'
import type { RowChange } from '../event/row-change.ts'
import { Ts } from '../tidb/ts.ts'
import { ignoresDdlType, IGNORABLE_EVENTS, isReplicatedDdl } from './ddl-events.ts'
import { createFilter, isSystemSchema } from './filter.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR'] ?? join(import.meta.dirname, 'vectors')
const vectors = JSON.parse(readFileSync(join(folder, 'filters.json'), 'utf8'))

/** Codes of the names that the vectors use, `create sequence` included, which nobody replicates. */
const codes = new Map<string, number>([
  ['create sequence', 34],
  ...vectors.ddlAllowList.map((one: { event: string; actionCode: number }) => [one.event, one.actionCode]),
])
const codeOf = (name: string): number => {
  const code = codes.get(name)
  assert.ok(code !== undefined, name)
  return code
}

const options = { caseSensitive: false, forceReplicate: false }

function eventFilter(from: Record<string, readonly string[]>): EventFilterConfig {
  return {
    matcher: from['matcher'] ?? [],
    ignoreEvent: from['ignore-event'] ?? [],
    ignoreSql: from['ignore-sql'] ?? [],
    ignoreInsertValueExpr: '',
    ignoreUpdateNewValueExpr: '',
    ignoreUpdateOldValueExpr: '',
    ignoreDeleteValueExpr: '',
  }
}

const filterOf = (eventFilters: readonly Record<string, readonly string[]>[], rules: readonly string[] = []) =>
  createFilter({ rules, ignoreTxnStartTs: [], eventFilters: eventFilters.map(eventFilter) }, options)

function row(type: 'insert' | 'update' | 'delete', startTs = 1n): RowChange {
  const [before, after] = [type === 'insert' ? undefined : [1], type === 'delete' ? undefined : [1]]
  return { startTs: Ts(startTs), commitTs: Ts(startTs + 1n), before, after }
}

for (const { rules, caseSensitive, cases } of vectors.changefeedTableFilter) {
  test(`tables of a changefeed by ${JSON.stringify(rules)}`, () => {
    const filter = createFilter(
      { rules, ignoreTxnStartTs: [], eventFilters: [] },
      { caseSensitive, forceReplicate: false },
    )
    for (const { schema, table, ignore } of cases) {
      assert.equal(!filter.matchesTable(schema, table), ignore, `${schema}.${table}`)
    }
  })
}

test('system schemas are those of the vectors, in any case', () => {
  for (const schema of vectors.systemSchemasLowerCase) {
    assert.ok(isSystemSchema(schema) && isSystemSchema(schema.toUpperCase()), schema)
  }
  assert.ok(!isSystemSchema('metric_schema'))
})

test('the allow list, the subtypes of alter table and the words of ignore-event are those of the vectors', () => {
  for (const { event, aliases, actionCode, alterTableSubtype } of vectors.ddlAllowList) {
    assert.ok(isReplicatedDdl(actionCode), event)
    for (const word of [event, ...aliases, 'all ddl'])
      assert.ok(ignoresDdlType([word], actionCode), `${word} ${actionCode}`)
    assert.equal(ignoresDdlType(['alter table'], actionCode), alterTableSubtype, event)
    assert.ok(!ignoresDdlType(['all dml'], actionCode))
  }
  const listed = new Set(vectors.ddlAllowList.map((one: { actionCode: number }) => one.actionCode))
  for (let code = 0; code < 100; code++) assert.equal(isReplicatedDdl(code), listed.has(code), String(code))
  assert.deepEqual([...IGNORABLE_EVENTS].toSorted(), vectors.acceptedIgnoreEvents.toSorted())
})

for (const { eventFilters, ddl = [], dml = [] } of vectors.eventFilters) {
  test(`event filter ${JSON.stringify(eventFilters)}`, () => {
    const filter = createFilter(
      { rules: [], ignoreTxnStartTs: [], eventFilters: eventFilters.map(eventFilter) },
      { caseSensitive: true, forceReplicate: false },
    )
    for (const { ddlType, schema, table, query, ignore, preSchema = schema, preTable = table } of ddl) {
      assert.equal(
        filter.ignoresDdl(codeOf(ddlType), preSchema, preTable, query, 1n),
        ignore,
        `${ddlType} ${schema}.${table}`,
      )
    }
    for (const { schema, table, type, ignore } of dml) {
      const drops = filter.compileRowFilter(testTable({ schema, table, columns: { id: 'int primary key' } }))
      assert.equal(drops?.(row(type)) ?? false, ignore, `${type} ${schema}.${table}`)
    }
  })
}

for (const { rules, ignoreTxnStartTs, cases } of vectors.discardDDL) {
  test(`DDL discarded by ${JSON.stringify(rules)}`, () => {
    const filter = createFilter({ rules, ignoreTxnStartTs: ignoreTxnStartTs.map(BigInt), eventFilters: [] }, options)
    for (const { ddlType, schema, table, startTs, discard } of cases) {
      const got = filter.discardsDdl(codeOf(ddlType), schema, table, BigInt(startTs))
      assert.equal(got, discard, `${ddlType} ${schema}.${table} ${startTs}`)
    }
  })
}

test('an unknown word in ignore-event is refused by name', () => {
  const { value, error } = vectors.invalidIgnoreEvent
  for (const word of [value, 'all', 'none', 'Insert', 'alter database']) {
    assert.throws(() => filterOf([{ matcher: ['*.*'], 'ignore-event': [word] }]), { code: error })
  }
})

test('a word of ignore-event with a slip gets the right one named', () => {
  for (const [word, near] of [
    ['Create Table', 'create table'],
    ['creat table', 'create table'],
    ['updates', 'update'],
    ['ad column', 'add column'],
  ])
    assert.throws(() => filterOf([{ matcher: ['*.*'], 'ignore-event': [word ?? ''] }]), {
      message: new RegExp(`'${word}', did you mean '${near}'\\? \\(filter\\.event-filters\\[0\\]\\)`),
    })
})

test('a bad pattern in ignore-sql is refused, and so is an expression that nobody can read, each with its place', () => {
  assert.throws(() => filterOf([{ matcher: ['*.*'], 'ignore-sql': ['a', '(b'] }]), {
    code: 'CDC:ErrFilterRuleInvalid',
    message: /filter\.event-filters\[0\]\.ignore-sql: /,
  })
  const fine = eventFilter({ matcher: ['*.*'] })
  const broken = { ...fine, ignoreInsertValueExpr: 'id > and 1' }
  assert.throws(() => createFilter({ rules: [], ignoreTxnStartTs: [], eventFilters: [fine, broken] }, options), {
    code: 'CDC:ErrInvalidFilterExpression',
    retryable: false,
    message:
      /in: 'id > and 1' \(filter\.event-filters\[1\]\.ignore-insert-value-expr: a value is expected near 'and 1'/,
  })
})

test('event filters that take a table are found by their place in the configuration', () => {
  const filter = filterOf([{ matcher: ['a.*'] }, { matcher: ['b.*'] }, { matcher: ['*.*', '!a.x'] }])
  const found = (schema: string, table: string) => filter.eventFiltersOf(schema, table).map(({ index }) => index)
  assert.deepEqual([found('a', 'x'), found('b', 'x'), found('a', '')], [[0], [1, 2], [0, 2]])
})

test('rows of ignored transactions are dropped; without any filter nothing is checked', () => {
  const table = testTable({ columns: { id: 'int primary key' } })
  const filter = createFilter({ rules: [], ignoreTxnStartTs: [450000000000000001n], eventFilters: [] }, options)
  const drops = filter.compileRowFilter(table)
  assert.deepEqual(
    [drops?.(row('insert', 450000000000000001n)), drops?.(row('insert', 450000000000000002n))],
    [true, false],
  )
  assert.ok(filter.ignoresDdl(5, 'a', 'b', 'q', 450000000000000001n))
  assert.equal(filterOf([]).compileRowFilter(table), undefined)
})

test('eligible is what has a handle key, views, or everything but sequences under force-replicate', () => {
  const cases = [
    { columns: { id: 'int primary key' }, eligible: true },
    { columns: { id: 'varchar(9) primary key' }, eligible: true },
    { columns: { id: 'int' }, eligible: false },
    { columns: { id: 'int not null' }, unique: 'id', eligible: true },
    { columns: { id: 'int' }, unique: 'id', eligible: false },
    { columns: { a: 'int', id: 'int not null virtual' }, unique: 'id', eligible: false },
    { columns: { a: 'int', id: 'int not null stored' }, unique: 'id', eligible: true },
  ]
  const force = createFilter(
    { rules: [], ignoreTxnStartTs: [], eventFilters: [] },
    { caseSensitive: false, forceReplicate: true },
  )
  for (const { columns, unique, eligible } of cases) {
    const indexes = unique === undefined ? [] : [{ name: 'u', unique: true, columns: [unique] }]
    const { info } = testTable({ columns, indexes })
    assert.equal(filterOf([]).isEligible(info), eligible, JSON.stringify(columns))
    assert.ok(filterOf([]).isEligible({ ...info, isView: true }))
    assert.ok(force.isEligible(info))
    assert.ok(!force.isEligible({ ...info, isSequence: true }))
  }
})
