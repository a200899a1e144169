// Who gets what, where: changefeeds with different rules over the same changes, to a real Kafka; what arrived is held
// against an implementation of TiCDC's algorithm that shares no code with Tidewire (support/dispatch_check.py).
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createConnection } from 'mysql2/promise'
import { available as pythonAvailable, consumeAll, python } from '../support/consumer.ts'
import { available as kafkaAvailable, startKafka } from '../support/kafka.ts'
import { waitFor } from '../support/process.ts'
import { createRandom, type Random } from '../support/random.ts'
import { requireOrSkip } from '../support/require.ts'
import { changefeed, cli, clusterTs, command, startPlayground, startServer } from '../support/stack.ts'

const SEED = Number(process.env['TIDEWIRE_SEED'] ?? 7)
/** Changefeeds that run at a time. */
const BATCH = 8

/** Where the changes of one table are expected; see dispatch_check.py. */
interface Expected {
  /** Behind the set's own prefix; absent = the default topic. */
  readonly topic?: string
  readonly hash?: readonly string[]
  readonly ts?: boolean
  readonly sent?: readonly string[]
  /** Name downstream, where it is another one. */
  readonly target?: string
  readonly drop?: Readonly<Partial<Record<'INSERT' | 'UPDATE' | 'DELETE', string>>>
}

interface RuleSet {
  readonly name: string
  /** `%` in a topic stands for the set's own prefix. */
  readonly toml: string
  readonly partitions?: number
  readonly tables: Readonly<Record<string, Expected>>
}

const ORDERS = 'shop.orders'
const ITEMS = 'shop.Items'
const MOVES = 'shop.moves'
const USERS = 'app.users'
const ODD = 'app.odd$name'

const everywhere = (one: Expected): Record<string, Expected> => ({
  [ORDERS]: one,
  [ITEMS]: one,
  [MOVES]: one,
  [USERS]: one,
  [ODD]: one,
})

const KEYS = { [ORDERS]: ['id'], [ITEMS]: ['a', 'B'], [MOVES]: ['id'], [USERS]: ['email'], [ODD]: ['id'] }
const byKey: Record<string, Expected> = Object.fromEntries(
  Object.entries(KEYS).map(([table, hash]) => [table, { hash }]),
)

const dispatch = (...rules: readonly string[]): string => `[sink]\ndispatchers = [${rules.join(', ')}]`
const select = (...rules: readonly string[]): string => `[sink]\ncolumn-selectors = [${rules.join(', ')}]`
const ignore = (matcher: string, ...keys: readonly string[]): string =>
  `[[filter.event-filters]]\nmatcher = ["${matcher}"]\n${keys.join('\n')}`

const SETS: readonly RuleSet[] = [
  { name: 'default', toml: '', tables: everywhere({}) },
  { name: 'table', toml: dispatch('{matcher = ["*.*"], partition = "table"}'), partitions: 3, tables: everywhere({}) },
  { name: 'ts', toml: dispatch('{matcher = ["*.*"], partition = "ts"}'), tables: everywhere({ ts: true }) },
  { name: 'index-value', toml: dispatch('{matcher = ["*.*"], partition = "index-value"}'), tables: byKey },
  { name: 'rowid', toml: dispatch('{matcher = ["*.*"], dispatcher = "ROWID"}'), partitions: 16, tables: byKey },
  {
    name: 'index by name',
    toml: dispatch('{matcher = ["shop.orders"], partition = "index-value", index = "UK"}'),
    tables: { ...everywhere({}), [ORDERS]: { hash: ['customer', 'region'] } },
  },
  {
    name: 'primary by name',
    toml: dispatch('{matcher = ["shop.Items"], partition = "index-value", index = "PRIMARY"}'),
    tables: { ...everywhere({}), [ITEMS]: { hash: ['a', 'B'] } },
  },
  ...(['id', 'customer', 'region', 'total', 'created', 'kind', 'flags', 'big', 'note', 'day', 'span'] as const).map(
    (column): RuleSet => ({
      name: `column ${column}`,
      toml: dispatch(`{matcher = ["shop.orders"], partition = "columns", columns = ["${column.toUpperCase()}"]}`),
      partitions: 7,
      tables: { ...everywhere({}), [ORDERS]: { hash: [column] } },
    }),
  ),
  {
    name: 'columns of several types',
    toml: dispatch(
      '{matcher = ["shop.orders"], partition = "columns", columns = ["note", "big", "created", "region"]}',
    ),
    partitions: 11,
    tables: { ...everywhere({}), [ORDERS]: { hash: ['note', 'big', 'created', 'region'] } },
  },
  {
    name: 'a column twice hashes to nothing',
    toml: dispatch('{matcher = ["app.users"], partition = "columns", columns = ["email", "email"]}'),
    tables: everywhere({}),
  },
  {
    name: 'the first dispatcher wins',
    toml: dispatch(
      '{matcher = ["shop.*", "!shop.moves"], partition = "index-value"}',
      '{matcher = ["*.*"], partition = "ts"}',
    ),
    tables: { ...everywhere({ ts: true }), [ORDERS]: { hash: ['id'] }, [ITEMS]: { hash: ['a', 'B'] } },
  },
  {
    name: 'topics by schema and table',
    toml: dispatch('{matcher = ["*.*"], topic = "%{schema}_{table}"}'),
    tables: {
      [ORDERS]: { topic: 'shop_orders' },
      [ITEMS]: { topic: 'shop_Items' },
      [MOVES]: { topic: 'shop_moves' },
      [USERS]: { topic: 'app_users' },
      [ODD]: { topic: 'app_odd_name' },
    },
  },
  {
    name: 'a topic per schema, one fixed, one default',
    toml: dispatch(
      '{matcher = ["shop.*"], topic = "%s-{schema}", partition = "index-value"}',
      '{matcher = ["app.users"], topic = "%fixed.users"}',
    ),
    tables: {
      [ORDERS]: { topic: 's-shop', hash: ['id'] },
      [ITEMS]: { topic: 's-shop', hash: ['a', 'B'] },
      [MOVES]: { topic: 's-shop', hash: ['id'] },
      [USERS]: { topic: 'fixed.users' },
      [ODD]: {},
    },
  },
  {
    name: 'a topic per table without schema',
    toml: dispatch('{matcher = ["shop.o*"], topic = "%{table}-v1", partition = "columns", columns = ["region"]}'),
    tables: { ...everywhere({}), [ORDERS]: { topic: 'orders-v1', hash: ['region'] } },
  },
  {
    name: 'rules with exclusions',
    toml: '[filter]\nrules = ["*.*", "!shop.*", "shop.orders"]',
    tables: { [ORDERS]: {}, [USERS]: {}, [ODD]: {} },
  },
  {
    name: 'rules by pattern and quotes',
    toml: '[filter]\nrules = ["/^sh.p$/.m?ves", "`app`.`odd$name`"]',
    tables: { [MOVES]: {}, [ODD]: {} },
  },
  {
    name: 'case-sensitive rules',
    toml: 'case-sensitive = true\n[filter]\nrules = ["shop.Items", "Shop.orders"]',
    tables: { [ITEMS]: {} },
  },
  { name: 'rules in any case', toml: '[filter]\nrules = ["SHOP.ITEMS"]', tables: { [ITEMS]: {} } },
  {
    name: 'ignored kinds of rows',
    toml: `${ignore('shop.orders', 'ignore-event = ["update", "delete"]')}\n${ignore('app.*', 'ignore-event = ["all dml"]')}`,
    tables: { [ORDERS]: { drop: { UPDATE: 'True', DELETE: 'True' } }, [ITEMS]: {}, [MOVES]: {} },
  },
  {
    name: 'inserts by value',
    toml: ignore('shop.orders', `ignore-insert-value-expr = "total < 50 or region = 'nord'"`),
    tables: { ...everywhere({}), [ORDERS]: { drop: { INSERT: "float(r['total']) < 50 or r['region'] == 'nord'" } } },
  },
  {
    name: 'updates by old and new value',
    toml: ignore(
      'shop.orders',
      'ignore-update-old-value-expr = "customer % 2 = 0"',
      'ignore-update-new-value-expr = "total between 100 and 200"',
    ),
    tables: {
      ...everywhere({}),
      [ORDERS]: { drop: { UPDATE: "int(old['customer']) % 2 == 0 or 100 <= float(r['total']) <= 200" } },
    },
  },
  {
    name: 'deletes by value, with NULL',
    toml: ignore('shop.orders', 'ignore-delete-value-expr = "note is null or length(note) > 4"'),
    tables: {
      ...everywhere({}),
      [ORDERS]: { drop: { DELETE: "r['note'] is None or len(r['note'].encode()) > 4" } },
    },
  },
  {
    name: 'functions and dates',
    toml: ignore(
      'shop.orders',
      `ignore-insert-value-expr = "year(created) = 2024 and (kind in ('a', 'c') or find_in_set('y', flags)) and not note <=> null"`,
    ),
    tables: {
      ...everywhere({}),
      [ORDERS]: {
        drop: {
          INSERT:
            "r['created'][:4] == '2024' and (r['kind'] in ('1', '3') or int(r['flags']) >= 2) and r['note'] is not None",
        },
      },
    },
  },
  {
    name: 'selected columns',
    toml: select(
      '{matcher = ["shop.orders"], columns = ["id", "to*"]}',
      '{matcher = ["*.*"], columns = ["*", "!extra"]}',
    ),
    tables: { ...everywhere({}), [ORDERS]: { sent: ['id', 'total'] }, [USERS]: { sent: ['email', 'name'] } },
  },
  {
    name: 'columns that are not sent are not hashed',
    toml: `${select('{matcher = ["shop.orders"], columns = ["customer", "region", "note"]}')}
dispatchers = [{matcher = ["*.*"], partition = "index-value"}]`,
    partitions: 9,
    tables: { ...byKey, [ORDERS]: { sent: ['customer', 'region', 'note'], hash: [] } },
  },
  {
    name: 'tables under other names, where the upstream names say',
    toml: dispatch(
      '{matcher = ["shop.orders"], topic = "%{schema}-{table}", partition = "index-value", target-schema = "archive", target-table = "{schema}_{table}"}',
      '{matcher = ["app.*"], target-schema = "people"}',
    ),
    tables: {
      ...everywhere({}),
      [ORDERS]: { topic: 'shop-orders', hash: ['id'], target: 'archive.shop_orders' },
      [USERS]: { target: 'people.users' },
      [ODD]: { target: 'people.odd$name' },
    },
  },
  {
    name: 'everything together',
    toml: `[filter]\nrules = ["shop.*", "app.users"]\n${ignore('shop.orders', 'ignore-insert-value-expr = "id > 30"')}
[sink]
dispatchers = [{matcher = ["shop.*"], topic = "%all-{schema}", partition = "columns", columns = ["id"]}, {matcher = ["app.*"], partition = "index-value"}]
column-selectors = [{matcher = ["app.users"], columns = ["email"]}]`.replace(
      '"shop.*"], topic',
      '"shop.*", "!shop.Items"], topic',
    ),
    tables: {
      [ORDERS]: { topic: 'all-shop', hash: ['id'], drop: { INSERT: "int(r['id']) > 30" } },
      [MOVES]: { topic: 'all-shop', hash: ['id'] },
      [ITEMS]: {},
      [USERS]: { sent: ['email'], hash: ['email'] },
    },
  },
]

test(`${SETS.length} rule sets put every change where TiCDC's algorithm puts it (seed ${SEED})`, async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable))) return
  assert.ok(SETS.length >= 30)
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-dispatch-'))
  await using cleanup = new AsyncDisposableStack()
  cleanup.defer(() => rm(folder, { recursive: true, force: true }))
  const kafka = cleanup.use(await startKafka())
  const playground = cleanup.use(await startPlayground())
  const server = cleanup.use(await startServer({ pd: playground.pd }))

  const [host = '', port = ''] = playground.sql.split(':')
  const sql = await createConnection({ host, port: Number(port), user: 'root', multipleStatements: false })
  cleanup.defer(() => sql.end())
  for (const statement of SCHEMA) await sql.query(statement)
  const startTs = await clusterTs(server, playground.pd)
  for (const statement of changes(createRandom(SEED))) await sql.query(statement)
  const targetTs = await clusterTs(server, playground.pd)

  const run = async (one: RuleSet, at: number): Promise<void> => {
    const prefix = `r${at}.`
    const file = join(folder, `${at}.toml`)
    await writeFile(
      file,
      one.toml.replaceAll('%', (found, offset: number, text: string) => (text[offset - 1] === '"' ? prefix : found)),
    )
    const uri = `kafka://${kafka.bootstrap}/${prefix}default?protocol=canal-json&enable-tidb-extension=true&partition-num=${one.partitions ?? 5}`
    const rules = ['--sink-uri', uri, '--config', file]
    await agreesWithExplain(
      one,
      prefix,
      await command('cli', 'changefeed', 'explain', '--json', '--server', server.url, ...rules),
    )
    const id = `r${at}`
    const span = ['--start-ts', String(startTs), '--target-ts', String(targetTs)]
    await cli(server, 'changefeed', 'create', '--changefeed-id', id, '--no-confirm', ...rules, ...span)
    await waitFor(
      `${one.name} to finish`,
      async () => {
        const { state, error } = await changefeed(server, id)
        assert.ok(state === 'normal' || state === 'finished', `${one.name}: ${state} ${error?.message ?? ''}`)
        return state === 'finished'
      },
      240_000,
    )
    await cli(server, 'changefeed', 'remove', '--changefeed-id', id)
  }
  for (let from = 0; from < SETS.length; from += BATCH)
    await Promise.all(SETS.slice(from, from + BATCH).map((one, i) => run(one, from + i)))

  const sets = SETS.map((one, at) => ({
    name: one.name,
    partitions: one.partitions ?? 5,
    topic: `r${at}.default`,
    tables: Object.fromEntries(
      Object.entries(one.tables).map(([table, expected]) => [
        table,
        { ...expected, topic: `r${at}.${expected.topic ?? 'default'}` },
      ]),
    ),
  }))
  const topics = [
    ...new Set(sets.flatMap(({ topic, tables }) => [topic, ...Object.values(tables).map((one) => one.topic)])),
  ]
  const records = (await consumeAll(kafka.bootstrap, topics)).map(({ topic, partition, value }) => ({
    topic,
    partition,
    value,
  }))
  const check = spawnSync(python(), [join(import.meta.dirname, '../support/dispatch_check.py')], {
    input: JSON.stringify({ baseline: 'r0.default', sets, records }),
    maxBuffer: 1 << 28,
    encoding: 'utf8',
  })
  assert.equal(check.status, 0, check.stderr)
  const { checked, faults } = JSON.parse(check.stdout)
  assert.deepEqual(faults, [])
  t.diagnostic(`${checked} changes in ${SETS.length} rule sets, ${topics.length} topics`)
})

/** `explain` names the topic and hashed columns that are found afterwards. */
async function agreesWithExplain(
  one: RuleSet,
  prefix: string,
  { code, stdout, output }: { readonly code: number | null; readonly stdout: string; readonly output: string },
): Promise<void> {
  assert.equal(code, 0, `${one.name}: ${output}`)
  const { tables } = JSON.parse(stdout)
  const explained = tables.filter(
    (table: { replicated: boolean; ignored: readonly { events: readonly string[] }[] }) =>
      table.replicated && !table.ignored.some(({ events }) => events.includes('all dml')),
  )
  const found = Object.fromEntries(
    explained.map((table: { schema: string; table: string; topic: string; columns_hashed: readonly string[] }) => [
      `${table.schema}.${table.table}`,
      [table.topic, [...new Set(table.columns_hashed)].toSorted()],
    ]),
  )
  const wanted = Object.fromEntries(
    Object.entries(one.tables).map(([table, { topic, hash = [] }]) => [
      table,
      [
        prefix + (topic ?? 'default'),
        one.name.startsWith('a column twice') && table === USERS ? ['email'] : [...hash].toSorted(),
      ],
    ]),
  )
  assert.deepEqual(found, wanted, one.name)
}

const SCHEMA = [
  'create database shop',
  'create database app',
  `create table shop.orders (id int primary key, customer int not null, region varchar(20) not null, total decimal(10,2),
    created datetime(3), kind enum('a','b','c'), flags set('x','y'), big bigint unsigned, note varchar(30), day date,
    span time, unique key uk (customer, region))`,
  'create table shop.Items (a varchar(16) not null, B int not null, c bigint, primary key (a, B))',
  'create table shop.moves (id int primary key, place varchar(9) not null, unique key p (place))',
  'create table app.users (email varchar(40) not null primary key, name varchar(20), extra int)',
  'create table app.`odd$name` (id bigint primary key, v int)',
]

/** Statements over all tables; keys change in `moves` alone. */
function* changes(random: Random): Generator<string> {
  const regions = ['nord', 'süd', 'ost', '西', '🙂']
  const text = (value: string | null): string => (value === null ? 'null' : `'${value}'`)
  const order = (id: number): string =>
    [
      id,
      random.below(50),
      text(`${regions[random.below(5)] ?? ''}${id % 3 === 0 ? '' : id}`),
      (random.below(30_000) / 100).toFixed(2),
      text(
        `${2023 + random.below(3)}-0${1 + random.below(9)}-1${random.below(9)} 0${random.below(9)}:00:00.${100 + random.below(900)}`,
      ),
      text('abc'[random.below(3)] ?? 'a'),
      random.below(4),
      18446744073709551615n - BigInt(random.below(1000)),
      random.chance(0.3) ? 'null' : text('n'.repeat(random.below(9))),
      text(`2024-02-${10 + random.below(19)}`),
      text(`${random.chance(0.5) ? '-' : ''}${random.below(800)}:00:0${random.below(9)}`),
    ].join(', ')
  for (let id = 1; id <= 60; id++) yield `insert ignore into shop.orders values (${order(id)})`
  for (let i = 0; i < 30; i++) yield `insert into shop.Items values ('k${i % 7}', ${i}, ${random.below(9)})`
  for (let i = 0; i < 20; i++) yield `insert into shop.moves values (${i}, 'p${i}')`
  for (let i = 0; i < 20; i++) yield `insert into app.users values ('u${i}@x.org', 'name${i}', ${i})`
  for (let i = 0; i < 10; i++) yield `insert into app.\`odd$name\` values (${i}, ${i})`
  for (let i = 0; i < 40; i++)
    yield `update shop.orders set total = ${random.below(300)}, note = ${random.chance(0.5) ? 'null' : "'new'"} where id = ${1 + random.below(60)}`
  for (let i = 0; i < 15; i++) yield `update shop.Items set c = c + 1 where B = ${random.below(30)}`
  for (let i = 0; i < 10; i++) yield `update shop.moves set place = 'q${i}' where id = ${i}`
  for (let i = 0; i < 5; i++) yield `update shop.moves set id = ${100 + i} where id = ${10 + i}`
  yield "update app.users set name = concat(name, '!') where extra < 10"
  for (let i = 0; i < 20; i++) yield `delete from shop.orders where id = ${1 + random.below(60)}`
  yield 'delete from shop.Items where B < 5'
  yield 'delete from app.users where extra > 15'
}
