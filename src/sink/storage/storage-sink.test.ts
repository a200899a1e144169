import { Messages } from '../../event/encoded.ts'
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { codecSettings } from '../../../test/support/codec-settings.ts'
import { sinkContext } from '../../../test/support/sink-context.ts'
import { testTable } from '../../../test/support/table-version.ts'
import type { StorageSettings } from '../../config/sink-settings.ts'
import type { DdlEvent } from '../../event/ddl-event.ts'
import type { EncodedBatch } from '../../event/encoded.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { Ts } from '../../tidb/ts.ts'
import { openControlSink, openRowSink, prepareSink } from '../open-sink.ts'

const signal = new AbortController().signal
const table: TableVersion = {
  ...testTable({ schema: 's', table: 't', columns: { id: 'int primary key' } }),
  version: Ts(5n),
}

type FolderSettings = StorageSettings & { readonly path: string }

async function storage(t: TestContext, changes: Partial<StorageSettings> = {}): Promise<FolderSettings> {
  const path = await mkdtemp(join(tmpdir(), 'tidewire-storage-'))
  t.after(() => rm(path, { recursive: true }))
  return {
    scheme: 'storage',
    location: { kind: 'file', path },
    path,
    codec: codecSettings({ terminator: '\r\n' }),
    flushIntervalMs: 5,
    fileSizeBytes: 1 << 20,
    dateSeparator: 'none',
    partitionSeparator: true,
    fileIndexDigits: 6,
    ...changes,
  }
}

const batchOf = (values: readonly string[], of = table): EncodedBatch => ({
  table: of,
  topic: '',
  messages: Messages.of(values.map((value) => ({ partition: 0, key: null, value: Buffer.from(value), rows: 1 }))),
  end: { commitTs: Ts(6n), startTs: Ts(6n), complete: true },
})

async function files(root: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    found[path.slice(root.length + 1)] = await readFile(path, 'utf8')
  }
  return found
}

const dataFiles = async (root: string): Promise<Record<string, string>> =>
  Object.fromEntries(Object.entries(await files(root)).filter(([path]) => !path.includes('/schema_')))

test('rows are on disk, with schema file and index, when a write resolves', async (t) => {
  const settings = await storage(t)
  await using sink = await openRowSink(settings, sinkContext(), signal)
  await Promise.all([sink.write(batchOf(['a', 'b']), signal), sink.write(batchOf(['c']), signal)])
  assert.deepEqual(await dataFiles(settings.path), {
    's/t/5/CDC000001.json': 'a\r\nb\r\nc\r\n',
    's/t/5/meta/CDC.index': 'CDC000001.json\n',
  })
  const [schemaFile = ''] = Object.keys(await files(settings.path)).filter((path) => path.includes('/schema_'))
  assert.match(schemaFile, /^s\/t\/meta\/schema_5_\d{10}\.json$/)
  const {
    Table,
    TableVersion: version,
    Query,
    TableColumnsTotal,
  } = JSON.parse((await files(settings.path))[schemaFile] ?? '')
  assert.deepEqual([Table, version, Query, TableColumnsTotal], ['t', 5, '', 1])
})

test('a file that is full is written at once', async (t) => {
  const settings = await storage(t, { flushIntervalMs: 3_600_000, fileSizeBytes: 4 })
  await using sink = await openRowSink(settings, sinkContext(), signal)
  await sink.write(batchOf(['1234']), signal)
  await sink.write(batchOf(['5678']), signal)
  assert.deepEqual(await dataFiles(settings.path), {
    's/t/5/CDC000001.json': '1234\r\n',
    's/t/5/CDC000002.json': '5678\r\n',
    's/t/5/meta/CDC.index': 'CDC000002.json\n',
  })
})

for (const [name, before, next] of [
  ['after the file that the index names', { 'CDC000001.json': 'x', 'meta/CDC.index': 'CDC000001.json\n' }, 2],
  ['in the place of a named file that is missing', { 'meta/CDC.index': 'CDC000005.json\n' }, 5],
  ['in the place of a named file that is empty', { 'CDC000005.json': '', 'meta/CDC.index': 'CDC000005.json\n' }, 5],
  ['after a file that no index names yet', { 'CDC000001.json': 'x' }, 2],
  [
    'after a file beyond the index',
    { 'CDC000001.json': 'x', 'CDC000002.json': 'y', 'meta/CDC.index': 'CDC000001.json\n' },
    3,
  ],
] as const)
  test(`after a restart the next file comes ${name}`, async (t) => {
    const settings = await storage(t)
    await using first = await openRowSink(settings, sinkContext(), signal)
    await first.write(batchOf(['0']), signal)
    await rm(join(settings.path, 's/t/5/CDC000001.json'))
    await rm(join(settings.path, 's/t/5/meta/CDC.index'))
    for (const [path, text] of Object.entries(before)) await writeFile(join(settings.path, 's/t/5', path), text)
    await using sink = await openRowSink(settings, sinkContext(), signal)
    await sink.write(batchOf(['new']), signal)
    assert.equal((await dataFiles(settings.path))[`s/t/5/CDC00000${next}.json`], 'new\r\n')
  })

test('a version without another structure goes on in the folder of the one before', async (t) => {
  const settings = await storage(t)
  await using sink = await openRowSink(settings, sinkContext(), signal)
  await sink.write(batchOf(['a']), signal)
  await sink.write(batchOf(['b'], { ...table, version: Ts(9n) }), signal)
  const wider = testTable({ schema: 's', table: 't', columns: { id: 'int primary key', more: 'int' } })
  await sink.write(batchOf(['c'], { ...wider, version: Ts(12n) }), signal)
  const data = await dataFiles(settings.path)
  assert.equal(data['s/t/5/CDC000002.json'], 'b\r\n')
  assert.equal(data['s/t/12/CDC000001.json'], 'c\r\n')
})

test('the schema file of a DDL is kept when the rows after it come', async (t) => {
  const settings = await storage(t)
  const ddl: DdlEvent = {
    startTs: Ts(4n),
    commitTs: Ts(5n),
    seq: 0,
    type: 3,
    query: 'CREATE TABLE `t` (`id` INT)',
    schema: 's',
    table: 't',
    after: table,
    before: undefined,
    charset: '',
    collate: '',
    bdrRole: '',
    sqlMode: 0n,
  }
  await using control = await openControlSink(settings, sinkContext(), signal)
  await control.ddl({ ...ddl, type: 1, query: 'CREATE DATABASE `s`', table: '', after: undefined }, signal)
  await control.ddl(ddl, signal)
  await control.watermark(Ts(433305438660591626n), [], signal)
  await using sink = await openRowSink(settings, sinkContext(), signal)
  await sink.write(batchOf(['a']), signal)
  const found = await files(settings.path)
  assert.equal(found['metadata'], '{"checkpoint-ts":433305438660591626}')
  const queries = Object.entries(found)
    .filter(([path]) => path.includes('schema_'))
    .map(([path, text]) => [path.replace(/_\d{10}/, ''), JSON.parse(text).Query])
  assert.deepEqual(Object.fromEntries(queries), {
    's/meta/schema_5.json': 'CREATE DATABASE `s`',
    's/t/meta/schema_5.json': 'CREATE TABLE `t` (`id` INT)',
  })
})

test('a closed fence fails the sink and writes nothing', async (t) => {
  const settings = await storage(t)
  const context = sinkContext({ fence: { open: () => false } })
  await using sink = await openRowSink(settings, context, signal)
  await assert.rejects(sink.write(batchOf(['a']), signal), { code: 'CDC:ErrCaptureSuicide' })
  await assert.rejects(sink.write(batchOf(['a']), signal), { code: 'CDC:ErrCaptureSuicide' })
  await using control = await openControlSink(settings, context, signal)
  await assert.rejects(control.watermark(Ts(1n), [], signal), { code: 'CDC:ErrCaptureSuicide' })
  assert.deepEqual(await files(settings.path), {})
})

test('a folder that cannot be written to is refused', async (t) => {
  const settings = await storage(t)
  const refused = prepareSink(
    { ...settings, location: { kind: 'file' as const, path: '/dev/null/x' } },
    sinkContext(),
    signal,
  )
  await assert.rejects(refused, { code: 'DFLOW:ErrFailToCreateExternalStorage' })
})

test('an aborted write ends the sink', async (t) => {
  const settings = await storage(t, { flushIntervalMs: 3_600_000 })
  await using sink = await openRowSink(settings, sinkContext(), signal)
  const stop = new AbortController()
  const write = sink.write(batchOf(['a']), stop.signal)
  stop.abort()
  await assert.rejects(write, { name: 'AbortError' })
  await assert.rejects(sink.write(batchOf(['b']), signal), { name: 'AbortError' })
})
