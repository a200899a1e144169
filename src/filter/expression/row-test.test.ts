import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { sampleRow, sampleTable, TRUE_EXPRESSIONS } from '../../../test/support/expressions.ts'
import { columnInfo, tableInfo } from '../../../test/support/field-type.ts'
import type { EventFilterConfig } from '../../config/replica-config.ts'
import type { RowChange, Values } from '../../event/row-change.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { wrapTable } from '../../event/wrap-table.ts'
import { ciName } from '../../tidb/table-info-json.ts'
import { Ts } from '../../tidb/ts.ts'
import { createFilter, type Filter } from '../filter.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR'] ?? join(import.meta.dirname, '..', 'vectors')
const { valueExpressions } = JSON.parse(readFileSync(join(folder, 'filters.json'), 'utf8'))

const filterWith = (changes: Partial<EventFilterConfig>): Filter => {
  const one: EventFilterConfig = {
    matcher: ['*.*'],
    ignoreEvent: [],
    ignoreSql: [],
    ignoreInsertValueExpr: '',
    ignoreUpdateNewValueExpr: '',
    ignoreUpdateOldValueExpr: '',
    ignoreDeleteValueExpr: '',
    ...changes,
  }
  const options = { caseSensitive: false, forceReplicate: true, timeZone: '+08:00' }
  return createFilter({ rules: [], ignoreTxnStartTs: [], eventFilters: [one] }, options)
}

/** Reads the CREATE TABLE statements of the vectors. */
function tableOf(createTable: string, table?: string, schema = 'test'): TableVersion {
  const [, name = '', body = ''] = /^create table test\.(\w+)\((.*)\)$/is.exec(createTable) ?? []
  const columns = body.split(/,(?![^(]*\))/).map((definition, at) => {
    const [, column = '', type = ''] = /^\s*(\w+)\s+(.*)$/s.exec(definition) ?? []
    const generatedExpr = /as \((.*)\) virtual/i.exec(type)?.[1] ?? ''
    return columnInfo(at + 1, column, type.toLowerCase(), { generatedExpr })
  })
  const info = tableInfo({}, { name: ciName(table ?? name), columns, pkIsHandle: true })
  return wrapTable(info, schema, Ts(1n), 100n)
}

const stored = (values: readonly (string | number)[] | undefined): Values | undefined =>
  values?.map((value) => (typeof value === 'string' ? new TextEncoder().encode(value) : value))

const change = (before: Values | undefined, after: Values | undefined): RowChange => ({
  startTs: Ts(1n),
  commitTs: Ts(2n),
  before,
  after,
})

for (const { createTable, filter: given, cases } of valueExpressions) {
  test(`value expressions of the vectors on ${createTable}`, () => {
    for (const one of cases) {
      const row = change(stored(one.old), stored(one.new))
      // What is broken in one kind of row is no matter for another.
      const keys =
        row.before === undefined ? ['Insert'] : row.after === undefined ? ['Delete'] : ['UpdateNew', 'UpdateOld']
      const expressions = Object.fromEntries(
        keys.map((key) => [
          `ignore${key}ValueExpr`,
          given[`ignore-${key.replace(/([a-z])([A-Z])/, '$1-$2').toLowerCase()}-value-expr`] ?? '',
        ]),
      )
      const ignores = (): boolean =>
        filterWith({ matcher: given.matcher, ...expressions }).compileRowFilter(
          tableOf(createTable, one.table, one.schema),
        )?.(row) ?? false
      const shown = JSON.stringify(one)
      if (one.error === undefined) assert.equal(ignores(), one.ignore, shown)
      else assert.throws(ignores, { code: one.error, message: new RegExp(one.messageContains ?? '') }, shown)
    }
  })
}

const holds = (expression: string): boolean =>
  filterWith({ ignoreInsertValueExpr: expression }).compileRowFilter(sampleTable)?.(change(undefined, sampleRow)) ??
  false

for (const expression of TRUE_EXPRESSIONS) test(`holds: ${expression}`, () => assert.equal(holds(expression), true))

/** Only the integer 1 drops a row: not what is true in another way. */
for (const expression of [
  '2',
  '1.0',
  "'1'",
  '1e0',
  'n',
  'null',
  'f + 0.5',
  "if(true, 1, 'x')",
  'dec',
  'd',
  'e',
  'not null',
])
  test(`does not hold, being no integer 1: ${expression}`, () => assert.equal(holds(expression), false))

for (const [expression, reason] of [
  ['', /^$/],
  ['n = ', /a value is expected|ends too early/],
  ['n = 1)', /should end/],
  ['n in ()', /a value is expected/],
  ["name = 'open", /quote at offset/],
  ['n = (select 1)', /sub-queries/],
  ['n = @x', /variables/],
  ['count(*) > 1', /value is expected/],
  ['nonsense(n) = 1', /function nonsense does not exist/],
  ['left(name) = 1', /Incorrect parameter count in the call to native function 'left'/],
  ["name regexp '('", /error parsing regexp/],
  ["d = date '2024-02-30'", /Incorrect DATE value/],
  ["name = 'a' collate nowhere", /unknown collation/],
  ["j->'a' = 1", /Invalid JSON path/],
  ['(n, 1) = 1', /as many items/],
  ['cast(n as decimal(2,5)) = 1', /is not a type/],
] as const)
  if (expression !== '')
    test(`is refused: ${expression}`, () => {
      const filter = () => filterWith({ ignoreInsertValueExpr: expression }).checkTable(sampleTable)
      assert.throws(filter, { code: 'CDC:ErrInvalidFilterExpression', message: reason })
      assert.throws(filter, {
        message: /There is a syntax error in: '.*' \(filter\.event-filters\[0\]\.ignore-insert-value-expr: /s,
      })
    })

test('an unknown column is named with its table, at the check and with the first row that needs it', () => {
  const filter = filterWith({ ignoreDeleteValueExpr: 'n = 1 and shop.t.missing > 2' })
  const wanted = {
    code: 'CDC:ErrExpressionColumnNotFound',
    retryable: false,
    message: /Cannot find column 'shop\.t\.missing' from table 'shop\.t' in: n = 1 and/,
  }
  assert.throws(() => filter.checkTable(sampleTable), wanted)
  const drops = filter.compileRowFilter(sampleTable)
  assert.equal(drops?.(change(undefined, sampleRow)), false)
  assert.throws(() => drops?.(change(sampleRow, undefined)), wanted)
})

test('an overflow at run time says which expression and table', () =>
  assert.throws(() => holds('u + 1 > 0'), {
    code: 'CDC:ErrFailedToFilterDML',
    message: /filter\.event-filters\[0\]\.ignore-insert-value-expr = 'u \+ 1 > 0' on shop\.t: BIGINT UNSIGNED value/,
  }))

test('an update is dropped when its old or its new image says so', () => {
  const drops = filterWith({ ignoreUpdateOldValueExpr: 'n = 1', ignoreUpdateNewValueExpr: 'n = 2' }).compileRowFilter(
    sampleTable,
  )
  const image = (n: number): Values => sampleRow.with(1, n)
  const dropped = (before: number, after: number): boolean | undefined => drops?.(change(image(before), image(after)))
  assert.deepEqual([dropped(1, 5), dropped(5, 2), dropped(2, 1), dropped(5, 5)], [true, true, false, false])
})
