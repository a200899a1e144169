import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ConfigFileError } from './config-file.ts'
import { isLeaf, kebabCase, type Fields, type Leaf } from './key-table.ts'
import { REPLICA_CONFIG } from './replica-config-keys.ts'
import { defaultReplicaConfig, parseReplicaConfigToml } from './replica-config-toml.ts'
import { parseServerConfigToml, SERVER_CONFIG } from './server-config.ts'
import { resolveSink } from './sink-uri.ts'

/** A key of TiCDC's. */
interface KeyVector {
  readonly where: string
  readonly key: string
  readonly type: string
  readonly default: unknown
  readonly sinks: string
  readonly since: string
}

const file = join(import.meta.dirname, 'vectors/config-keys.json')
const { keys }: { keys: readonly KeyVector[] } = JSON.parse(readFileSync(file, 'utf8'))
const of = (where: string): KeyVector[] => keys.filter((vector) => vector.where === where)

/** Keys of versions that v8.5 does not know either. */
const foreign = (vector: KeyVector): boolean => /new architecture|v4\.0 JSON/.test(vector.since)

const [good, bad]: readonly Record<string, string>[] = [
  { bool: 'true', text: "'x'", int: '7', float: '1.5', texts: "['a', 'b']", uint64s: '[1]', duration: "'1h'" },
  { bool: "'x'", text: '7', int: "'x'", float: "'x'", texts: '7', uint64s: "['x']", duration: "'1 day'" },
]

/** One key as a TOML file; keys of arrays of tables stand in one element. */
function tomlOf(table: { readonly fields: Fields }, key: string, value: string): string {
  const parts = key.split('.')
  const name = parts.pop() ?? ''
  let fields = table.fields
  let brackets: readonly [string, string] = ['[', ']']
  for (const part of parts) {
    const node = Object.entries(fields).find(([property]) => kebabCase(property) === part)?.[1]
    if (node === undefined || isLeaf(node)) break
    if (node.kind === 'tables') brackets = ['[[', ']]']
    fields = node.fields
  }
  return parts.length === 0
    ? `${name} = ${value}`
    : `${brackets[0]}${parts.join('.')}${brackets[1]}\n${name} = ${value}`
}

function leafOf(table: { readonly fields: Fields }, key: string): Leaf<unknown> | undefined {
  let fields: Fields = table.fields
  for (const part of key.split('.')) {
    const node = Object.entries(fields).find(([property]) => kebabCase(property) === part)?.[1]
    if (node === undefined) return undefined
    if (isLeaf(node)) return node
    fields = node.fields
  }
  return undefined
}

for (const [where, table, read] of [
  ['changefeed-toml', REPLICA_CONFIG, parseReplicaConfigToml],
  ['server-toml', SERVER_CONFIG, parseServerConfigToml],
] as const)
  for (const vector of of(where)) {
    if (vector.type === '[]table') continue
    const leaf = leafOf(table, vector.key)
    test(`${where} ${vector.key} is read, and a wrong type is named with its line`, () => {
      if (leaf === undefined) {
        // Either retired, with a warning, or as unknown as it is to TiCDC v8.5.
        try {
          const { warnings } = read(tomlOf(table, vector.key, "'x'"), 'file.toml')
          assert.match(warnings.join(), new RegExp(`^${vector.key} in file.toml is ignored: `))
        } catch (error) {
          assert.ok(error instanceof ConfigFileError)
          assert.match(error.message, /contained unknown configuration options: /)
          assert.ok(foreign(vector), `${vector.key} is a key of TiCDC v8.5`)
        }
        return
      }
      assert.deepEqual(read(tomlOf(table, vector.key, good?.[leaf.kind] ?? ''), 'file.toml').warnings, [])
      const wrong = tomlOf(table, vector.key, bad?.[leaf.kind] ?? '')
      const line = wrong.split('\n').length
      assert.throws(
        () => read(wrong, 'file.toml'),
        (error) => {
          assert.ok(error instanceof ConfigFileError)
          assert.ok(
            error.message.startsWith(`file.toml: toml: line ${line} (last key "${vector.key}"): `),
            error.message,
          )
          return true
        },
      )
    })
    if (leaf !== undefined) test(`${where} ${vector.key} has TiCDC's default`, () => assertDefault(vector, leaf))
  }

function assertDefault(vector: KeyVector, leaf: Leaf<unknown>): void {
  const ours = leaf.fallback ?? leaf.implied
  const theirs = vector.default
  if (typeof theirs === 'number' || typeof theirs === 'boolean') {
    // What is 1 or 0 when unset may be absent here.
    assert.ok(ours === theirs || leaf.implied === theirs || (ours === undefined && !theirs), JSON.stringify(ours))
  } else if (Array.isArray(theirs)) assert.deepEqual(ours ?? [], theirs)
  else if (leaf.kind === 'text' && ours !== undefined && ours !== '')
    assert.equal(JSON.stringify(ours).slice(1, -1), theirs === ours ? JSON.stringify(theirs).slice(1, -1) : theirs)
}

/** Schemes that are built, with an address each. */
const BASES: Readonly<Record<string, string>> = {
  kafka: 'kafka://127.0.0.1:9092/topic?protocol=canal-json',
  storage: 'file:///tmp/folder?protocol=canal-json',
}
const WRONG: Readonly<Record<string, string>> = {
  bool: 'maybe',
  int: 'ten',
  int32: 'ten',
  int16: 'ten',
  'duration string': '10',
}

for (const vector of of('sink-uri')) {
  const base = /kafka|^all$/.test(vector.sinks)
    ? BASES['kafka']
    : vector.sinks.startsWith('file')
      ? BASES['storage']
      : undefined
  if (base === undefined || foreign(vector)) continue
  test(`parameter ${vector.key} of ${vector.sinks} is known, and a wrong value is named`, () => {
    const warnings: string[] = []
    const kind = vector.type.split(' (')[0] ?? ''
    const value = { bool: 'true', int: '7', int32: '7', int16: '1', 'duration string': '10s' }[kind] ?? ''
    try {
      resolveSink(
        vector.key === 'protocol' ? base : `${base}&${vector.key}=${value}`,
        defaultReplicaConfig,
        {},
        warnings,
      )
    } catch (error) {
      assert.match(String(error), /cert and key must be given together|required acks 7|unknown compression/)
    }
    assert.deepEqual(
      warnings.filter((warning) => warning.includes(`"${vector.key}"`)),
      [],
    )
    const wrong = WRONG[kind]
    if (wrong === undefined || IGNORED.includes(vector.key)) return
    assert.throws(
      () => resolveSink(`${base}&${vector.key}=${wrong}`, defaultReplicaConfig),
      new RegExp(`CDC:Err(KafkaInvalidConfig|StorageSinkInvalidConfig)\\].*${vector.key} "${wrong}" is not `),
    )
  })
}

/** Of protocols and mechanisms that are not built: refused with them, not read before. */
const IGNORED = ['avro-enable-watermark', 'debezium-disable-schema', 'sasl-gssapi-disable-pafxfast', 'max-retry']
