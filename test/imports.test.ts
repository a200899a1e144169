// Holds the import table of the layout: a folder of src/ imports only what the table allows.
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'

const src = join(import.meta.dirname, '..', 'src')

const formats = ['tidb', 'event', 'config']
const codecs = [...formats, 'schema', 'mounter', 'filter', 'dispatcher', 'codec']
const stages = [...codecs, 'proto', 'spill', 'storage', 'registry', 'upstream', 'sorter', 'sink', 'redo']

/** Folder → folders that it may import beside `base` and itself; a file may be named where only that is allowed. */
const allowed: Record<string, readonly string[]> = {
  base: [],
  tidb: [],
  proto: [],
  event: ['tidb'],
  config: ['tidb', 'event/changefeed.ts'],
  spill: ['config'],
  storage: ['config'],
  registry: ['config', 'codec/avro/registry.ts', 'codec/avro/envelope.ts'],
  upstream: ['proto', 'tidb', 'event', 'config', 'spill'],
  sorter: ['proto', 'tidb', 'event', 'config', 'spill'],
  schema: formats,
  mounter: formats,
  filter: formats,
  dispatcher: formats,
  codec: formats,
  sink: [...formats, 'spill', 'dispatcher', 'codec', 'storage', 'registry'],
  worker: [...stages, 'changefeed/messages.ts'],
  changefeed: [...formats, 'schema', 'filter', 'dispatcher', 'codec', 'sink', 'upstream/pd/pd.ts'],
  server: [...formats, 'changefeed', 'worker', 'upstream', 'proto', 'schema', 'filter', 'sink', 'spill'],
  check: [...formats, 'schema', 'filter', 'dispatcher', 'codec', 'upstream', 'sink'],
  api: ['server', 'check', 'config', 'tidb', 'event'],
  cli: ['*'],
  sdk: ['tidb', 'event', 'codec', 'registry', 'storage'],
  playground: ['tidb', 'proto'],
  'playground/sql': ['tidb', 'proto', 'playground', 'upstream/pd', 'upstream/tikv'],
}

for (const file of globSync('**/*.ts', { cwd: src }).toSorted()) {
  if (!file.includes('/') || file.endsWith('.test.ts') || file.startsWith('proto/')) continue
  test(`${file} imports only what its folder may`, () => {
    const folder = file.split('/')[0] ?? ''
    const home = file.startsWith('playground/sql/') ? 'playground/sql' : folder
    const rule = allowed[home]
    assert.ok(rule, `folder ${home} is not in the table`)
    for (const target of importsOf(file)) {
      const top = target.split('/')[0] ?? ''
      if (target === 'main.ts') assert.fail('nothing imports main.ts')
      const fine: boolean =
        top === folder ||
        top === 'base' ||
        rule.some((name) => name === '*' || target === name || target.startsWith(`${name}/`))
      assert.ok(fine, `${file} imports ${target}`)
    }
  })
}

/** Paths below src/ that a file imports. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), 'utf8')
  const found = text.matchAll(/(?:from|import)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g)
  return [...found].map(([, path = '']) => relative(src, resolve(src, dirname(file), path)))
}
