import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { testTable } from '../../test/support/table-version.ts'
import { doubleText, floatText, plainDecimal } from '../base/float-text.ts'
import type { DispatchRuleConfig, SinkConfig } from '../config/replica-config.ts'
import { parseTableRules } from '../config/table-rules.ts'
import type { RowChange, Value } from '../event/row-change.ts'
import type { TableVersion } from '../event/table-version.ts'
import { Ts } from '../tidb/ts.ts'
import { CRC_START, crcBytes, crcEnd } from './crc32.ts'
import { createDispatcher, type Dispatcher } from './dispatcher.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR'] ?? join(import.meta.dirname, 'vectors')
const read = (name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8'))
const dispatch = read('dispatch.json')
const topics = read('topic-expr.json')

const rule = (changes: Partial<DispatchRuleConfig>): DispatchRuleConfig => ({
  matcher: ['*.*'],
  dispatcher: '',
  partition: '',
  index: '',
  columns: [],
  topic: '',
  ...changes,
})

interface Setting {
  readonly defaultTopic?: string
  readonly protocol?: string
  readonly caseSensitive?: boolean
}

function dispatcherOf(rules: readonly Partial<DispatchRuleConfig>[], setting: Setting = {}): Dispatcher {
  const { defaultTopic = 'fallback', protocol = 'canal-json', caseSensitive = false } = setting
  const config = { dispatchers: rules.map(rule), columnSelectors: [] } satisfies Partial<SinkConfig>
  return createDispatcher(config, { defaultTopic, protocol, caseSensitive })
}

const row = (after: readonly Value[], commitTs = 2n): RowChange => ({
  startTs: Ts(1n),
  commitTs: Ts(commitTs),
  before: undefined,
  after,
})

/** A table with the hashed columns of a case as its primary key. */
function tableOf(one: { schema: string; table: string; hashedColumns?: { name: string }[] }): TableVersion {
  const names = new Set((one.hashedColumns ?? []).map(({ name }) => name))
  const columns = Object.fromEntries([...names].map((name) => [name, 'varbinary(99) not null']))
  const indexes = names.size === 0 ? [] : [{ name: 'u', unique: true, columns: [...names] }]
  return testTable({ schema: one.schema, table: one.table, columns, indexes })
}

for (const one of dispatch.cases) {
  test(`partition by ${one.rule}: ${one.name}`, () => {
    const table = tableOf(one)
    const hashed: { name: string; valueString?: string; valueHex?: string }[] = one.hashedColumns ?? []
    const valueOf = (name: string): Value => {
      const found = hashed.find((column) => column.name === name)
      return Buffer.from(found?.valueHex ?? Buffer.from(found?.valueString ?? '').toString('hex'), 'hex')
    }
    const change = row(
      table.columns.map(({ name }) => valueOf(name)),
      BigInt(one.commitTs ?? 2),
    )
    const columns = hashed.map(({ name }) => name)
    const dispatcher = dispatcherOf([{ partition: one.rule, columns }])
    assert.equal(dispatcher.compile(table, one.partitionNum)(change), one.partition)
  })
}

test('the hash is the one of the self test', () => {
  for (const { groups, hashHex } of dispatch.hashSelfTest) {
    let hash = 0
    for (const group of groups) hash ^= crcEnd(crcBytes(CRC_START, Buffer.from(group.join(''))))
    assert.equal(hash >>> 0, Number(hashHex))
  }
  fc.assert(fc.property(fc.uint8Array(), (bytes) => crcEnd(crcBytes(CRC_START, bytes)) === crc32(bytes)))
})

test('floats are hashed as plain decimals', () => {
  for (const [text, expected] of dispatch.floatToString.float64)
    assert.equal(plainDecimal(doubleText(Number(text))), expected)
  for (const [text, expected] of dispatch.floatToString.float32)
    assert.equal(plainDecimal(floatText(Number(text))), expected)
})

test('values of every kind are hashed as their text', () => {
  const cases: readonly (readonly [string, Value, string])[] = [
    ['bigint', -9223372036854775808n, '-9223372036854775808'],
    ['int', -7, '-7'],
    ['float', Math.fround(0.1), '0.1'],
    ['double', 1.5e-7, '0.00000015'],
    ['double', -0, '-0'],
    ['double', 1e21, '1000000000000000000000'],
    ['decimal(10,2)', '12.30', '12.30'],
    ['json', '{"a": "é"}', '{"a": "é"}'],
    ['varchar(9)', Buffer.from('é'), 'é'],
    ['vector', Float32Array.of(1, 2.5), '[1,2.5]'],
    ['int', null, 'null'],
  ]
  for (const [type, value, text] of cases) {
    const table = testTable({ columns: { c: type } })
    const same = testTable({ columns: { c: 'varbinary(99)' } })
    const dispatcher = dispatcherOf([{ partition: 'columns', columns: ['C'] }])
    const [a, b] = [
      dispatcher.compile(table, 1e9)(row([value])),
      dispatcher.compile(same, 1e9)(row([Buffer.from(text)])),
    ]
    assert.equal(a, b, text)
  }
})

test('an update goes by its new values, a delete by its old ones', () => {
  const table = testTable({ columns: { id: 'int primary key' } })
  const partitionOf = dispatcherOf([{ partition: 'index-value' }]).compile(table, 1000)
  const inserted = partitionOf(row([5]))
  assert.equal(partitionOf({ ...row([5]), before: [4] }), inserted)
  assert.equal(partitionOf({ ...row([]), before: [5], after: undefined }), inserted)
})

test('index-value follows the named index; index and columns are checked against the table', () => {
  const table = testTable({
    columns: { id: 'int primary key', A: 'int', b: 'int', v: 'int virtual' },
    indexes: [
      { name: 'uk', unique: true, columns: ['b', 'A'] },
      { name: 'plain', columns: ['b'] },
      { name: 'uv', unique: true, columns: ['v'] },
    ],
  })
  const byIndex = dispatcherOf([{ partition: 'index-value', index: 'UK' }]).compile(table, 1000)
  const byColumns = dispatcherOf([{ partition: 'columns', columns: ['a', 'B'] }]).compile(table, 1000)
  assert.equal(byIndex(row([1, 2, 3])), byColumns(row([9, 2, 3])))
  const refused: readonly (readonly [Partial<DispatchRuleConfig>, RegExp])[] = [
    [
      { partition: 'index-value', index: 'none' },
      /index not found when verify the table, table: test\.t, index: none \(sink\.dispatchers\[0\]\)$/,
    ],
    [{ partition: 'index-value', index: 'plain' }, /index is not unique when verify the table/],
    [{ partition: 'index-value', index: 'uv' }, /found virtual generated columns/],
    [{ partition: 'columns', columns: ['A', 'x'] }, /columns not found .*columns: \[A, x\], column: x \(sink/],
    [{ partition: 'columns', columns: ['v'] }, /found virtual generated columns/],
  ]
  for (const [one, message] of refused) {
    const error = { code: 'CDC:ErrDispatcherFailed', message }
    assert.throws(() => dispatcherOf([one]).checkTable(table), error)
    assert.throws(() => dispatcherOf([one]).compile(table, 3), error)
  }
  dispatcherOf([{ partition: 'index-value', index: 'primary' }]).checkTable(table)
})

test('the first rule that takes a table decides on topic and partition', () => {
  const { dispatchers, defaultTopic, rows, ddl } = dispatch.routing
  const dispatcher = dispatcherOf(dispatchers, { defaultTopic })
  for (const { schema, table, topic, rule: word } of rows) {
    assert.equal(dispatcher.topicOf(schema, table), topic, `${schema}.${table}`)
    const version = testTable({ schema, table, columns: { id: 'int primary key' } })
    const alone = dispatcherOf([{ partition: word }])
    const change = row([7], 12345n)
    assert.equal(dispatcher.compile(version, 97)(change), alone.compile(version, 97)(change), `${schema}.${table}`)
  }
  const forDdl = dispatcherOf(ddl.dispatchers, { defaultTopic: ddl.defaultTopic })
  for (const { schema, table, preSchema = schema, preTable = table, topic } of ddl.cases) {
    assert.equal(forDdl.topicOf(preSchema, preTable), topic)
  }
})

test('topic expressions are filled in as the vectors say', () => {
  for (const { expr, schema, table, topic } of topics.substitute) {
    const name = table === '' ? 't' : table
    assert.equal(dispatcherOf([{ topic: expr }]).topicOf(schema, name), topic, expr)
  }
})

test('topic expressions are valid as the vectors say', () => {
  for (const { expr, validForKafka, validForAvro } of topics.validate) {
    for (const [protocol, valid] of [
      ['canal-json', validForKafka],
      ['avro', validForAvro],
    ]) {
      const create = (): Dispatcher => dispatcherOf([{ topic: expr }], { protocol })
      if (valid) create()
      else assert.throws(create, { code: 'CDC:ErrKafkaTopicExprInvalid' }, `${expr} for ${protocol}`)
    }
  }
})

test('matchers follow case-sensitive', () => {
  const rules = [{ matcher: ['Test.*'], topic: 'found' }]
  assert.equal(dispatcherOf(rules).topicOf('tEST', 't'), 'found')
  assert.equal(dispatcherOf(rules, { caseSensitive: true }).topicOf('tEST', 't'), 'fallback')
})

test('an unknown partition rule is refused in a new changefeed, and is the table rule in a stored one', () => {
  const dispatcher = dispatcherOf([{ partition: 'Index-Value' }, { partition: 'no-such' }, { dispatcher: 'neither' }])
  const message = /unknown partition rule 'no-such' .*unknown partition rule 'neither'.*use one of default, table/
  assert.throws(() => dispatcher.checkConfig(), { code: 'CDC:ErrSinkInvalidConfig', message })
  dispatcherOf([{ dispatcher: 'ROWID' }, {}]).checkConfig()
})

test('faults of the rules are named', () => {
  assert.throws(() => dispatcherOf([{ dispatcher: 'ts', partition: 'ts' }]), { code: 'CDC:ErrSinkInvalidConfig' })
  assert.throws(() => dispatcherOf([{ matcher: ['a'] }]), { code: 'CDC:ErrFilterRuleInvalid' })
})

const selecting = (
  columnSelectors: readonly { readonly matcher: readonly string[]; readonly columns: readonly string[] }[],
  rules: readonly Partial<DispatchRuleConfig>[] = [],
): Dispatcher => {
  const options = { defaultTopic: 't', caseSensitive: false, protocol: 'canal-json' }
  return createDispatcher({ dispatchers: rules.map(rule), columnSelectors }, options)
}

const wide = testTable({
  columns: { id: 'int primary key', Name: 'varchar(9)', age: 'int', email: 'varchar(9)', v: 'int virtual' },
  indexes: [{ name: 'uk', unique: true, columns: ['email', 'age'] }],
})

test('the first selector that takes the table chooses columns, in any case; the last pattern that matches wins', () => {
  const cases: readonly (readonly [columns: readonly string[], kept: readonly string[] | undefined])[] = [
    [
      ['id', 'NAME'],
      ['id', 'Name'],
    ],
    [
      ['*', '!age'],
      ['id', 'Name', 'email'],
    ],
    [['*'], undefined],
    [['/^(e|a)/'], ['age', 'email']],
    [
      ['!email', 'e*', '?d'],
      ['id', 'email'],
    ],
    [
      ['`id`', '[n]ame'],
      ['id', 'Name'],
    ],
  ]
  for (const [columns, kept] of cases) {
    const selection = selecting([
      { matcher: ['test.*'], columns },
      { matcher: ['*.*'], columns: ['id'] },
    ]).selectColumns(wide)
    assert.deepEqual(
      selection?.table.columns.map(({ name }) => name),
      kept,
      columns.join(),
    )
  }
  assert.equal(selecting([{ matcher: ['other.*'], columns: ['id'] }]).selectColumns(wide), undefined)
})

test('keys of the table that the encoder sees are those that are left whole, at their new places', () => {
  const selection = selecting([{ matcher: ['*.*'], columns: ['email', 'age', 'id'] }]).selectColumns(wide)
  const { handleKey, keys } = selection?.table ?? wide
  assert.deepEqual(handleKey, [0])
  assert.deepEqual(
    keys.map(({ name, columns }) => [name, columns]),
    [
      ['PRIMARY', [0]],
      ['uk', [2, 1]],
    ],
  )
  const change = { ...row([1, Buffer.from('n'), 30, Buffer.from('e')]), before: [2, null, 31, null] }
  const sent = selection?.select(change)
  assert.deepEqual(
    [sent?.after, sent?.before, sent?.commitTs],
    [[1, 30, Buffer.from('e')], [2, 31, null], change.commitTs],
  )
  const withoutHandle = selecting([{ matcher: ['*.*'], columns: ['age', 'email'] }]).selectColumns(wide)
  assert.deepEqual([withoutHandle?.table.handleKey, withoutHandle?.table.keys.length], [[], 1])
})

test('a selector that leaves no key, or drops a column of the dispatcher, is refused with its place', () => {
  const noKey = {
    code: 'CDC:ErrColumnSelectorFailed',
    message: /no primary key columns .* test\.t \(sink\.column-selectors\[0\]\)/,
  }
  for (const columns of [['age'], ['name', 'email'], []]) {
    const dispatcher = selecting([{ matcher: ['*.*'], columns }])
    assert.throws(() => dispatcher.checkTable(wide), noKey)
    assert.throws(() => dispatcher.selectColumns(wide), noKey)
    assert.throws(() => dispatcher.compile(wide, 3), noKey)
  }
  const heap = testTable({ columns: { a: 'int', b: 'int' } })
  selecting([{ matcher: ['*.*'], columns: ['a'] }]).checkTable(heap)
  const byAge = [{ partition: 'columns', columns: ['age'] }]
  const selectors = [
    { matcher: ['*.*'], columns: ['id', 'age'] },
    { matcher: ['test.*'], columns: ['id'] },
  ]
  assert.throws(() => selecting(selectors, byAge).checkTable(wide), {
    code: 'CDC:ErrColumnSelectorFailed',
    message:
      /filtered out column is used in the column dispatcher, table: test\.t, column: age \(sink\.column-selectors\[1\]\)/,
  })
  selecting([{ matcher: ['*.*'], columns: ['id', 'age'] }], byAge).checkTable(wide)
})

test('columns that are not sent are not hashed', () => {
  const rules = [{ partition: 'index-value', index: 'uk' }]
  const change = row([1, null, 30, Buffer.from('e')])
  const onlyAge = dispatcherOf([{ partition: 'columns', columns: ['age'] }]).compile(wide, 1e6)(change)
  const without = selecting([{ matcher: ['*.*'], columns: ['id', 'age'] }], rules).compile(wide, 1e6)(change)
  assert.equal(without, onlyAge)
  assert.notEqual(dispatcherOf(rules).compile(wide, 1e6)(change), onlyAge)
})

test('faulty matchers and column rules are named with their place', () => {
  for (const [one, message] of [
    [{ matcher: ['a'], columns: ['*'] }, /wrong table pattern in "a" \(sink\.column-selectors\[1\]\.matcher\)/],
    [
      { matcher: ['*.*'], columns: ['a.b'] },
      /unexpected special character '\.' .*\(sink\.column-selectors\[1\]\.columns\)/,
    ],
    [{ matcher: ['*.*'], columns: ['a b'] }, /unexpected special character ' '/],
    [{ matcher: ['*.*'], columns: ['/(/'] }, /invalid pattern/],
    [{ matcher: ['*.*'], columns: ['`a`b'] }, /stray characters/],
  ] as const) {
    const fine = { matcher: ['*.*'], columns: ['*'] }
    assert.throws(() => selecting([fine, one]), { code: 'CDC:ErrFilterRuleInvalid', message })
  }
  assert.throws(() => dispatcherOf([{}, { matcher: ['a'] }]), { message: /\(sink\.dispatchers\[1\]\.matcher\)/ })
  assert.throws(() => dispatcherOf([{ topic: '{x}' }]), {
    message: /topic expression: \{x\}.*\(sink\.dispatchers\[0\]\)/,
  })
})

test('law: a rule set never sends a table two ways, and equal keys share a partition under index-value', () => {
  const pattern = fc.constantFrom('*.*', 'a.*', '*.t1', 'b.t?', 'a.t[12]', '!a.t1', '/^b/.*')
  const rules = fc.array(
    fc.record({
      matcher: fc.array(pattern, { minLength: 1, maxLength: 3 }),
      partition: fc.constantFrom('', 'ts', 'table', 'index-value', 'columns'),
      columns: fc.constant(['id']),
      topic: fc.constantFrom('', 'fixed', '{schema}_{table}', 'x-{schema}'),
    }),
    { maxLength: 5 },
  )
  const place = fc.record({ schema: fc.constantFrom('a', 'b', 'c'), table: fc.constantFrom('t1', 't2', 't3') })
  const int = fc.integer()
  fc.assert(
    fc.property(rules, place, int, int, int, (list, { schema, table }, id, before, after) => {
      const [one, other] = [dispatcherOf(list), dispatcherOf(list)]
      assert.equal(one.topicOf(schema, table), other.topicOf(schema, table))
      assert.equal(one.topicOf(schema, table), one.topicOf(schema, table))
      const version = testTable({ schema, table, columns: { id: 'int primary key', x: 'int' } })
      const decision = one.explain(schema, table)
      assert.equal(
        decision.rule ?? -1,
        list.findIndex((entry) => dispatcherTakes(entry.matcher, schema, table)),
      )
      const partitionOf = one.compile(version, 64)
      const moved = { ...row([id, after]), before: [id, before] }
      if (['index-value', 'columns'].includes(decision.config.partition))
        assert.equal(partitionOf(moved), partitionOf({ ...row([]), before: [id, before], after: undefined }))
    }),
  )
})

const dispatcherTakes = (matcher: readonly string[], schema: string, table: string): boolean =>
  parseTableRules(matcher, { caseSensitive: false }).matchesTable(schema, table)
