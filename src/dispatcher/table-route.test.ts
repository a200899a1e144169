import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ddlEvent } from '../../test/support/ddl-event.ts'
import { testTable } from '../../test/support/table-version.ts'
import type { DispatchRuleConfig } from '../config/replica-config.ts'
import { createTableRoutes, type TableRoutes } from './table-route.ts'

const rule = (matcher: string, targetSchema: string, targetTable = ''): DispatchRuleConfig => ({
  matcher: [matcher],
  dispatcher: '',
  partition: '',
  index: '',
  columns: [],
  topic: '',
  targetSchema,
  targetTable,
})

function routesOf(...rules: readonly DispatchRuleConfig[]): TableRoutes {
  const routes = createTableRoutes(rules, { caseSensitive: false })
  assert.ok(routes)
  return routes
}

test('targets are filled in with the upstream names as they are; the first rule that routes decides', () => {
  for (const [schema, table, target] of [
    ['archive', '', 'archive.Orders'],
    ['', '{table}_bak', 'Sales.Orders_bak'],
    ['{schema}_mirror', '', 'Sales_mirror.Orders'],
    ['archive', '{schema}_{table}', 'archive.Sales_Orders'],
  ] as const) {
    const plain = rule('*.*', '')
    const found = routesOf(plain, rule('sales.*', schema, table), rule('*.*', 'other')).route('Sales', 'Orders')
    assert.equal(`${found.schema}.${found.table}`, target)
  }
  assert.deepEqual(routesOf(rule('a.*', 'b')).route('x', 'y'), { schema: 'x', table: 'y' })
  assert.equal(createTableRoutes([rule('*.*', '')], { caseSensitive: false }), undefined)
})

test('unknown placeholders and loose braces are refused with their place', () => {
  for (const text of ['{db}', '{schema', 'a}', '{Schema}', '{}'])
    for (const [key, one] of [
      ['target-schema', rule('*.*', text)],
      ['target-table', rule('*.*', '', text)],
    ] as const)
      assert.throws(() => routesOf(rule('*.*', 'x'), one), {
        code: 'CDC:ErrInvalidTableRoutingRule',
        retryable: false,
        message: new RegExp(`\\(sink\\.dispatchers\\[1\\]\\.${key}\\)`),
      })
})

test('a table keeps everything but its names, and is the same object for the same table', () => {
  const table = testTable({ schema: 'sales', table: 'orders', columns: { id: 'int primary key' } })
  const routes = routesOf(rule('sales.*', 'archive', '{schema}_{table}'))
  const routed = routes.routeTable(table)
  assert.deepEqual(
    [routed.schema, routed.table, routed.info.name.original],
    ['archive', 'sales_orders', 'sales_orders'],
  )
  assert.deepEqual([routed.columns, routed.physicalId], [table.columns, table.physicalId])
  assert.equal(routes.routeTable(table), routed)
})

test('two tables with one target are a conflict; the partitions of one table are not', () => {
  const check = routesOf(rule('*.*', 'archive', '{table}')).conflictCheck()
  check({ schema: 'sales', table: 'orders' })
  check({ schema: 'sales', table: 'orders' })
  check({ schema: 'sales', table: 'items' })
  assert.throws(() => check({ schema: 'crm', table: 'orders' }), {
    code: 'CDC:ErrTableRouteConflict',
    retryable: false,
    message: /sales\.orders and crm\.orders are both routed to archive\.orders/,
  })
})

/** Statements of schema `sales`; tables go to `archive.…_r`, those of `other` stay. */
const STATEMENTS: readonly (readonly [from: string, to: string])[] = [
  ['create table t (id int, like_it int)', 'create table `archive`.`t_r` (id int, like_it int)'],
  ['CREATE TABLE IF NOT EXISTS `sales`.`t` (id int)', 'CREATE TABLE IF NOT EXISTS `archive`.`t_r` (id int)'],
  ['create table t like sales.u', 'create table `archive`.`t_r` like `archive`.`u_r`'],
  ['create table t (like other.u)', 'create table `archive`.`t_r` (like other.u)'],
  [
    'create table t (a int, foreign key (a) references u (id), rename int)',
    'create table `archive`.`t_r` (a int, foreign key (a) references `archive`.`u_r` (id), rename int)',
  ],
  ['DROP TABLE `sales`.`t`', 'DROP TABLE `archive`.`t_r`'],
  ['drop table if exists t, other.u', 'drop table if exists `archive`.`t_r`, other.u'],
  ['truncate t', 'truncate `archive`.`t_r`'],
  ['truncate table /* all */ t', 'truncate table /* all */ `archive`.`t_r`'],
  [
    'RENAME TABLE `sales`.`a` TO `sales`.`b`, c to other.d',
    'RENAME TABLE `archive`.`a_r` TO `archive`.`b_r`, `archive`.`c_r` to other.d',
  ],
  ['alter table t add column rename int', 'alter table `archive`.`t_r` add column rename int'],
  ['alter table t rename to u', 'alter table `archive`.`t_r` rename to `archive`.`u_r`'],
  ['alter table t add a int, rename as other.u', 'alter table `archive`.`t_r` add a int, rename as other.u'],
  [
    'alter table t rename column a to b, rename index i to j',
    'alter table `archive`.`t_r` rename column a to b, rename index i to j',
  ],
  [
    'alter table t exchange partition p with table u without validation',
    'alter table `archive`.`t_r` exchange partition p with table `archive`.`u_r` without validation',
  ],
  ["alter table t comment 'rename to u'", "alter table `archive`.`t_r` comment 'rename to u'"],
  ['create unique index i on t (a)', 'create unique index i on `archive`.`t_r` (a)'],
  ['drop index i on sales.t', 'drop index i on `archive`.`t_r`'],
  ['recover table t', 'recover table `archive`.`t_r`'],
  ['create database if not exists sales', 'create database if not exists `archive`'],
  ['drop schema `sales`', 'drop schema `archive`'],
  ['alter database sales charset utf8mb4', 'alter database `archive` charset utf8mb4'],
  ['alter database charset utf8mb4', 'alter database charset utf8mb4'],
]

for (const [from, to] of STATEMENTS)
  test(`DDL is routed: ${from}`, () => {
    const routes = routesOf(rule('sales.*', 'archive', '{table}_r'))
    const isSchema = /database|schema /i.test(from)
    const event = ddlEvent({ query: from, schema: 'sales', table: isSchema ? '' : 't' })
    const routed = routes.routeDdl(event)
    assert.equal(routed.query, to)
    assert.deepEqual([routed.schema, routed.table], ['archive', isSchema ? '' : 't_r'])
  })

test('a DDL of a schema with several targets, and a statement that cannot be read, stop the changefeed', () => {
  const failed = { code: 'CDC:ErrTableRoutingFailed', retryable: false }
  const routes = routesOf(rule('sales.a', 'x'), rule('sales.b', 'y'), rule('one.*', 'z'), rule('two.*', '{table}'))
  const drop = (schema: string): string =>
    routes.routeDdl(ddlEvent({ query: `drop database ${schema}`, schema, table: '' })).query
  assert.throws(() => drop('sales'), failed)
  assert.throws(() => drop('two'), failed)
  assert.deepEqual([drop('one'), drop('else')], ['drop database `z`', 'drop database else'])
  const view = ddlEvent({ query: 'create view v as select * from one.t', schema: 'one', table: 'v' })
  assert.throws(() => routes.routeDdl(view), failed)
  assert.equal(routes.routeDdl({ ...view, schema: 'else' }).query, view.query)
})
