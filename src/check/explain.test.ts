import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testTable } from '../../test/support/table-version.ts'
import { parseReplicaConfigToml } from '../config/replica-config-toml.ts'
import type { TableVersion } from '../event/table-version.ts'
import { chooseTables, namedTables, parseTableName } from './asked-tables.ts'
import { type AskedTable, explain, type Explanation, type TableExplanation } from './explain.ts'
import { explanationJson } from './explanation-json.ts'
import { explanationText } from './explanation-text.ts'

const SINK = 'kafka://127.0.0.1:9092/all?protocol=canal-json&partition-num=6'

const orders = testTable({
  schema: 'shop',
  table: 'orders',
  columns: { id: 'int primary key', customer: 'int', total: 'decimal(10,2)', note: 'varchar(9)' },
  indexes: [{ name: 'by_customer', columns: ['customer'] }],
})
const audit = testTable({ schema: 'shop', table: 'audit', columns: { at: 'datetime' } })
const odd = testTable({ schema: 'odd', table: 'a$b', columns: { id: 'int primary key' } })
const strange = testTable({ schema: 'odd', table: 'a#b', columns: { id: 'int primary key' } })
const cluster = [orders, audit, odd, strange]

const ask = (toml: string, tables: readonly TableVersion[] = cluster, sinkUri = SINK): Explanation =>
  explain(parseReplicaConfigToml(toml, 'f.toml').config, sinkUri, chooseTables(tables, []), { cluster: true })

function about(explanation: Explanation, table: string): TableExplanation {
  const found = explanation.tables.find((one) => one.table === table)
  assert.ok(found)
  return found
}

test('a table has its rule, topic, dispatcher, columns and event filters', () => {
  const found = about(
    ask(`
[filter]
rules = ["*.*", "!shop.a*", "shop.o*"]
[[filter.event-filters]]
matcher = ["shop.*"]
ignore-event = ["delete"]
ignore-sql = ["^drop"]
ignore-insert-value-expr = "total < 10"
[sink]
dispatchers = [{matcher = ["shop.*"], topic = "{schema}_{table}", partition = "index-value"}]
column-selectors = [{matcher = ["shop.orders"], columns = ["*", "!note"]}]
`),
    'orders',
  )
  assert.deepEqual(found, {
    schema: 'shop',
    table: 'orders',
    replicated: true,
    because: "filter.rules[2] 'shop.o*'",
    topic: 'shop_orders',
    dispatcher: "sink.dispatchers[0] matcher [shop.*], topic '{schema}_{table}'",
    partition: 'index-value',
    partitions: 0,
    columnsHashed: ['id'],
    columnsSent: ['id', 'customer', 'total'],
    selector: 'sink.column-selectors[0] [*, !note]',
    ignored: [
      {
        eventFilter: 'filter.event-filters[0]',
        events: ['delete'],
        sql: ['^drop'],
        rows: [{ kind: 'insert', where: 'total < 10' }],
      },
    ],
    warnings: [],
    errors: [],
  })
})

test('what is left out says why', () => {
  const excluded = ask('[filter]\nrules = ["shop.*", "!shop.audit"]')
  assert.deepEqual(
    excluded.tables.map(({ table, replicated, because }) => [table, replicated, because]),
    [
      ['orders', true, "filter.rules[0] 'shop.*'"],
      ['audit', false, "filter.rules[1] '!shop.audit'"],
      ['a$b', false, 'no rule of filter.rules matches it'],
      ['a#b', false, 'no rule of filter.rules matches it'],
    ],
  )
  assert.deepEqual(excluded.warnings, ['no filter rule matches odd.a$b, odd.a#b'])
  const keyless = about(ask(''), 'audit')
  assert.deepEqual([keyless.replicated, keyless.errors[0]?.code], [false, 'CDC:ErrTableIneligible'])
  assert.deepEqual(about(ask('ignore-ineligible-table = true'), 'audit').errors, [])
  assert.equal(about(ask('force-replicate = true'), 'audit').replicated, true)
})

test('what create would refuse is an error of the table, with its code', () => {
  const codes = (toml: string): readonly string[] => about(ask(toml), 'orders').errors.map(({ code }) => code)
  for (const [toml, code] of [
    ['partition = "index-value", index = "none"', 'CDC:ErrDispatcherFailed'],
    ['partition = "index-value", index = "by_customer"', 'CDC:ErrDispatcherFailed'],
    ['partition = "columns", columns = ["nowhere"]', 'CDC:ErrDispatcherFailed'],
  ] as const)
    assert.deepEqual(codes(`[sink]\ndispatchers = [{matcher = ["shop.orders"], ${toml}}]`), [code], toml)
  assert.deepEqual(codes('[sink]\ncolumn-selectors = [{matcher = ["*.*"], columns = ["note"]}]'), [
    'CDC:ErrColumnSelectorFailed',
  ])
  const filter = '[[filter.event-filters]]\nmatcher = ["shop.orders"]\nignore-delete-value-expr = '
  assert.deepEqual(codes(`${filter}"missing > 1"`), ['CDC:ErrExpressionColumnNotFound'])
  assert.throws(() => ask(`${filter}"total >"`), { code: 'CDC:ErrInvalidFilterExpression' })
})

test('rules that break the order of a row are warned about', () => {
  const warned = (rule: string, kafka = ''): string =>
    about(ask(`[sink]\ndispatchers = [{matcher = ["*.*"], ${rule}}]\n${kafka}`), 'orders').warnings.join()
  assert.match(warned('partition = "ts"'), /spreads the changes of one row/)
  assert.match(warned('partition = "columns", columns = ["id", "customer"]'), /^customer may change/)
  assert.equal(warned('partition = "columns", columns = ["id"]'), '')
  assert.equal(warned('partition = "index-value"'), '')
  const keyless = about(
    ask('force-replicate = true\n[sink]\ndispatchers = [{matcher = ["*.*"], partition = "index-value"}]'),
    'audit',
  )
  assert.match(keyless.warnings.join(), /no column is hashed/)
})

test('rules that do nothing and topics that collide are warned about', () => {
  const { warnings } = ask(`
[filter]
rules = ["*.*", "!gone.*"]
[[filter.event-filters]]
matcher = ["nobody.*"]
[sink]
dispatchers = [
  {matcher = ["*.*"], topic = "{schema}_{table}"},
  {matcher = ["shop.*"], partition = "ts"},
  {matcher = ["none.*"], partition = "ts"},
]
`)
  assert.deepEqual(warnings, [
    "filter.rules[1] '!gone.*' matches no table",
    'filter.event-filters[0] matcher [nobody.*] matches no table that is replicated',
    'sink.dispatchers[2] matcher [none.*] matches no table that is replicated',
    'sink.dispatchers[1] matcher [shop.*] never decides: earlier rules take all its tables',
    'odd.a$b and odd.a#b share the topic odd_a_b, which cannot hold their names as they are',
  ])
})

test('names downstream are told, and two tables with one name are an error', () => {
  const route = (table: string): Explanation =>
    ask(`[sink]\ndispatchers = [{matcher = ["*.*"], target-schema = "all", target-table = "${table}"}]`, [orders, odd])
  assert.deepEqual(
    route('{schema}_{table}').tables.map(({ target, errors }) => [target, errors.length]),
    [
      ['all.shop_orders', 0],
      ['all.odd_a$b', 0],
    ],
  )
  assert.deepEqual(
    route('one').tables.map(({ errors }) => errors.map(({ code }) => code)),
    [[], ['CDC:ErrTableRouteConflict']],
  )
})

test('without a cluster nothing is claimed about columns, and no rule is called idle', () => {
  const { config } = parseReplicaConfigToml(
    '[filter]\nrules = ["shop.orders", "a*.b", "!`x.y`.z"]\n[sink]\ndispatchers = [{matcher = ["shop.*"], partition = "index-value", index = "uk"}]',
    'f.toml',
  )
  const named = namedTables(config)
  assert.deepEqual(named, [
    { schema: 'shop', table: 'orders' },
    { schema: 'x.y', table: 'z' },
  ])
  const { tables, warnings } = explain(config, SINK, named, { cluster: false })
  const [first, second] = tables
  assert.deepEqual([first?.columnsHashed, first?.columnsSent, first?.partitions], [['(index uk)'], undefined, 6])
  assert.deepEqual([second?.replicated, warnings], [false, []])
})

test('a table name is two names, quoted where they hold a point', () => {
  const names: readonly (readonly [string, AskedTable])[] = [
    ['a.b', { schema: 'a', table: 'b' }],
    [' `a.b`.`c``d` ', { schema: 'a.b', table: 'c`d' }],
  ]
  for (const [text, name] of names) assert.deepEqual(parseTableName(text), name)
  for (const text of ['a', 'a.b.c', '.b', '']) assert.throws(() => parseTableName(text), SyntaxError)
  assert.deepEqual(
    chooseTables(cluster, [parseTableName('SHOP.Orders'), parseTableName('no.such')]).map(({ version }) => version),
    [orders, undefined],
  )
})

test('text and JSON say the same', () => {
  const explanation = ask(
    '[filter]\nrules = ["shop.orders"]\n[sink]\ncolumn-selectors = [{matcher = ["shop.*"], columns = ["id"]}]',
    [orders],
  )
  assert.deepEqual(explanationText(explanation), [
    'shop.orders',
    "  replicated      yes: filter.rules[0] 'shop.orders'",
    '  topic           all',
    '  dispatcher      none takes it, defaults apply',
    '  partition       default, 6 partitions',
    '  hashed          schema and table name',
    '  columns sent    id',
    '  column selector sink.column-selectors[0] [id]',
  ])
  assert.deepEqual(explanationJson(explanation), {
    tables: [
      {
        topic: 'all',
        partition: 'default',
        partitions: 6,
        columns_hashed: [],
        columns_sent: ['id'],
        selector: 'sink.column-selectors[0] [id]',
        warnings: [],
        errors: [],
        schema: 'shop',
        table: 'orders',
        replicated: true,
        because: "filter.rules[0] 'shop.orders'",
        ignored: [],
      },
    ],
    warnings: [],
  })
  assert.match(explanationText({ tables: [], warnings: [] }).join(), /No table to explain/)
})

test('a sink without topics has none in its answer', () => {
  const found = about(ask('', [orders], 'blackhole://'), 'orders')
  assert.deepEqual([found.topic, found.columnsSent], [undefined, ['id', 'customer', 'total', 'note']])
})
