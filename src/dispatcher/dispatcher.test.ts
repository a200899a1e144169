import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { testTable } from '../../test/support/table-version.ts'
import { doubleText, floatText, plainDecimal } from '../base/float-text.ts'
import type { DispatchRuleConfig, SinkConfig } from '../config/replica-config.ts'
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
      /index not found when verify the table, table: test\.t, index: none$/,
    ],
    [{ partition: 'index-value', index: 'plain' }, /index is not unique when verify the table/],
    [{ partition: 'index-value', index: 'uv' }, /found virtual generated columns/],
    [{ partition: 'columns', columns: ['A', 'x'] }, /columns not found .*columns: \[A, x\], column: x$/],
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
  const columnSelectors = [{ matcher: ['*.*'], columns: ['a'] }]
  const options = { defaultTopic: 't', caseSensitive: false, protocol: 'canal-json' }
  assert.throws(() => createDispatcher({ dispatchers: [], columnSelectors }, options), {
    code: 'CDC:ErrColumnSelectorFailed',
    message: /not built yet/,
  })
})
