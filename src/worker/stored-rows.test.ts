// A plan that encodes rows as they are stored sends what one sends that mounts them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { storedChange } from '../../test/support/arbitrary-stored-row.ts'
import { codecSettings } from '../../test/support/codec-settings.ts'
import { columnInfo, fieldType, indexInfo, tableInfo } from '../../test/support/field-type.ts'
import { rowsOf } from '../../test/support/raw-rows.ts'
import { createProtocol } from '../codec/protocols.ts'
import { createDispatcher } from '../dispatcher/dispatcher.ts'
import { Messages } from '../event/encoded.ts'
import { opOrder, type RawKv } from '../event/raw-kv.ts'
import type { TableVersion } from '../event/table-version.ts'
import { wrapTable } from '../event/wrap-table.ts'
import { compileMounter } from '../mounter/mounter.ts'
import { intHandle, recordKey } from '../tidb/key.ts'
import { encodeRow } from '../tidb/row-encoder.ts'
import { Ts } from '../tidb/ts.ts'
import { compileRowPlan, type Pass, type RowPlan } from './row-plan.ts'

const PARTITIONS = 7

interface Options {
  readonly timeZone: string
  readonly splitUpdates: boolean
  readonly rule: string
  readonly selector: readonly string[] | undefined
}

function planOf(table: TableVersion, form: 'mounted' | 'stored', options: Options): RowPlan {
  const { timeZone, splitUpdates, rule, selector } = options
  const columns = table.columns.map(({ name }) => name)
  const dispatcher = createDispatcher(
    {
      dispatchers: [
        {
          matcher: ['*.*'],
          dispatcher: '',
          partition: rule,
          index: '',
          columns: rule === 'columns' ? columns : [],
          topic: '',
        },
      ],
      columnSelectors: selector === undefined ? [] : [{ matcher: ['*.*'], columns: [...selector] }],
    },
    { defaultTopic: 't', caseSensitive: true, protocol: 'canal-json' },
  )
  const selection = dispatcher.selectColumns(table)
  const protocol = createProtocol(codecSettings({ enableTidbExtension: true }), { timeZone, now: () => 7 })
  return compileRowPlan({
    table,
    topic: 't',
    partitions: PARTITIONS,
    mount: compileMounter(table, { timeZone }),
    ignores: undefined,
    partitionOf: dispatcher.compile(table, PARTITIONS),
    encoder: protocol.compile(selection?.table ?? table),
    splitUpdates,
    selection,
    stored:
      form === 'mounted'
        ? undefined
        : { timeZone, partitionOf: (cellOf) => dispatcher.compileStored(table, PARTITIONS, cellOf) },
  })
}

function run(plan: RowPlan, raws: readonly RawKv[], pass: Pass): string[] {
  const out = new Messages()
  plan.run(rowsOf(raws), 0, raws.length, pass, out)
  return [...out].map(({ partition, value }) => `${partition} ${Buffer.from(value ?? []).toString('latin1')}`)
}

const RULES = ['table', 'ts', 'index-value', 'columns']

test('rows of every type go to the same partition, with the same bytes', () => {
  fc.assert(
    fc.property(
      storedChange,
      fc.constantFrom(...RULES),
      fc.boolean(),
      ({ table, timeZone, raw }, rule, splitUpdates) => {
        const options = { timeZone, splitUpdates, rule, selector: undefined }
        const [mounted, stored] = [planOf(table, 'mounted', options), planOf(table, 'stored', options)]
        assert.deepEqual(run(stored, [raw], 'all'), run(mounted, [raw], 'all'))
      },
    ),
    { numRuns: 300 },
  )
})

const int = fieldType('int')
const text = fieldType('varchar(9)')
const table = wrapTable(
  tableInfo(
    {},
    {
      columns: [
        columnInfo(1, 'id', 'bigint primary'),
        columnInfo(2, 'dropped', 'int'),
        columnInfo(3, 'u', 'int'),
        columnInfo(4, 'v', 'varchar(9)'),
      ],
      pkIsHandle: true,
      indexes: [indexInfo(1, 'u', [2], { unique: true })],
    },
  ),
  'test',
  Ts(1n),
  100n,
)

const image = fc.tuple(fc.option(fc.integer({ min: 0, max: 2 })), fc.constantFrom('x', 'y')).map(([u, v]) =>
  encodeRow([
    { id: 2, type: int, value: 1 },
    { id: 3, type: int, value: u },
    { id: 4, type: text, value: Buffer.from(v) },
  ]),
)
const side = fc.option(image, { nil: undefined, freq: 3 })

/** Rows of some transactions, in the order in which batches hold them. */
const batch = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat(99), side, side), { minLength: 1, maxLength: 12 })
  .map((rows) =>
    rows
      .map(([ts, id, value, oldValue]): RawKv => ({
        startTs: Ts(BigInt(ts)),
        commitTs: Ts(BigInt(ts) * 2n),
        key: recordKey(100n, intHandle(BigInt(id))),
        value,
        oldValue,
      }))
      .toSorted((a, b) => Number(a.commitTs - b.commitTs) || opOrder(a) - opOrder(b)),
  )

test('transactions leave in the same order, in every pass', () => {
  fc.assert(
    fc.property(
      batch,
      fc.constantFrom<Pass>('all', 'deletes', 'rest'),
      fc.boolean(),
      fc.constantFrom(...RULES.slice(0, 3)),
      fc.constantFrom(undefined, ['id', 'v'], ['*', '!dropped']),
      (raws, pass, splitUpdates, rule, selector) => {
        const options = { timeZone: 'UTC', splitUpdates, rule, selector }
        const [mounted, stored] = [planOf(table, 'mounted', options), planOf(table, 'stored', options)]
        assert.deepEqual(run(stored, raws, pass), run(mounted, raws, pass))
      },
    ),
    { numRuns: 500 },
  )
})

test('a row that is broken is the error of the mounter, and nothing of it is left behind', () => {
  const options = { timeZone: 'UTC', splitUpdates: true, rule: 'table', selector: undefined }
  const plan = planOf(table, 'stored', options)
  const raw = { startTs: Ts(1n), commitTs: Ts(2n), key: recordKey(100n, intHandle(7n)), oldValue: undefined }
  const broken = Uint8Array.of(128, 0, 1, 0, 0, 0, 3, 3, 0, 1, 2, 3)
  assert.throws(() => run(plan, [{ ...raw, value: broken }], 'all'), /CDC:ErrDecodeRowToDatum.*column u/)
  const fine = encodeRow([{ id: 3, type: int, value: 5 }])
  const [message = ''] = run(plan, [{ ...raw, value: fine }], 'all')
  assert.match(message, /^\d+ \{"id":0,.*"u":"5"/)
})
