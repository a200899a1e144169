import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kafkaSettings } from '../../test/support/kafka-settings.ts'
import type { ReplicaConfig } from '../config/replica-config.ts'
import { parseReplicaConfigToml } from '../config/replica-config-toml.ts'
import { createSpanRules } from './span-rules.ts'

const table = (name: string) => ({ physicalId: 1n, tableId: 1n, schema: 'd', table: name })
const rules = (config: ReplicaConfig) =>
  createSpanRules(kafkaSettings('127.0.0.1:9092'), config, ({ table: name }) => name !== 'heap')

test('only clustered tables that are dispatched by key are cut without being asked', () => {
  const { config } = parseReplicaConfigToml(
    "[sink]\ndispatchers = [{ matcher = ['d.big', 'd.heap'], partition = 'index-value' }, { matcher = ['d.t'], partition = 'ts' }]",
    'changefeed.toml',
  )
  const { splittable, movable } = rules(config)
  assert.ok(movable)
  assert.deepEqual(
    ['big', 'heap', 't', 'other'].map((name) => splittable(table(name), 100, 0)),
    [true, false, false, false],
  )
  assert.equal(splittable(table('big'), 1, 1e9), false)
})

test('enable-table-across-nodes cuts tables beyond its thresholds, whatever their rule', () => {
  const { config } = parseReplicaConfigToml(
    '[scheduler]\nenable-table-across-nodes = true\nregion-threshold = 1000\nwrite-key-threshold = 30000',
    'changefeed.toml',
  )
  const { splittable } = rules(config)
  assert.deepEqual(
    [splittable(table('a'), 1000, 30_000), splittable(table('a'), 1001, 0), splittable(table('a'), 2, 30_001)],
    [false, true, true],
  )
  assert.equal(splittable(table('heap'), 5000, 0), false)
})
