import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultReplicaConfig } from '../../config/replica-config-toml.ts'
import { Ts } from '../../tidb/ts.ts'
import { AdminJob } from '../handle.ts'
import { clusterKeys, parseClusterKey } from './keys.ts'
import {
  changedInfo,
  formatCaptureInfo,
  formatNewInfo,
  formatStatus,
  formatUpstream,
  goTime,
  isForeign,
  parseCaptureInfo,
  parseChangefeedInfo,
  parseStatus,
} from './values.ts'

const changefeed = { namespace: 'default', id: 'a' }

test('values are written byte for byte as TiCDC writes them', () => {
  const capture = { id: 'u', address: '10.0.1.1:8300', version: 'v8.5.0', gitHash: 'h', deployPath: '/path/cdc' }
  assert.equal(
    formatCaptureInfo({ ...capture, startTimestamp: 1_700_000_000 }),
    '{"id":"u","address":"10.0.1.1:8300","version":"v8.5.0","git-hash":"h","deploy-path":"/path/cdc","start-timestamp":1700000000}',
  )
  const ts = Ts(415_241_823_337_054_209n)
  assert.equal(
    formatStatus({ checkpointTs: ts, minTableBarrierTs: ts }),
    '{"checkpoint-ts":415241823337054209,"min-table-barrier-ts":415241823337054209,"admin-job-type":0}',
  )
  assert.equal(
    formatUpstream(7_305_000_000_000_000_001n, ['http://a:2379', 'http://b:2379'], {}),
    '{"id":7305000000000000001,"pd-endpoints":"http://a:2379,http://b:2379","key-path":"","cert-path":"","ca-path":"","cert-allowed-cn":null}',
  )
})

test('captures of another product are told by their git hash', () => {
  const text = '{"id":"x","address":"a:1","version":"v8.5.0","git-hash":"d92e39f7cbcbeb6a8ae0d9ee6a9b8b1ba3ff9c8f"}'
  assert.equal(isForeign(parseCaptureInfo(text)), true)
  assert.equal(isForeign({ ...parseCaptureInfo(text), gitHash: 'tidewire-0.1.0' }), false)
})

test('a barrier that was never stored is the checkpoint', () =>
  assert.deepEqual(parseStatus('{"checkpoint-ts":7,"min-table-barrier-ts":0,"admin-job-type":0}'), {
    checkpointTs: 7n,
    minTableBarrierTs: 7n,
  }))

test('a new info is read back, with its members in the order of TiCDC', () => {
  const text = formatNewInfo({
    upstreamId: 7_305_000_000_000_000_001n,
    changefeed,
    sinkUri: 'kafka://h:9092/t?protocol=canal-json&partition-num=2',
    createTime: '2024-12-05T15:05:46.679218+08:00',
    startTs: Ts(450_000_000_000_000_001n),
    targetTs: Ts(0n),
    adminJob: AdminJob.None,
    config: defaultReplicaConfig,
    state: 'normal',
    creatorVersion: 'v8.5.0',
    epoch: 450_000_000_000_000_003n,
  })
  assert.deepEqual(
    Object.keys(JSON.parse(text)),
    'upstream-id namespace changefeed-id sink-uri create-time start-ts target-ts admin-job-type sort-engine sort-dir config state error warning creator-version epoch'.split(
      ' ',
    ),
  )
  const info = parseChangefeedInfo(text, changefeed)
  assert.equal(info.startTs, 450_000_000_000_000_001n)
  assert.equal(info.epoch, 450_000_000_000_000_003n)
  assert.equal(info.sinkUri, 'kafka://h:9092/t?protocol=canal-json&partition-num=2')
  assert.deepEqual(info.config, defaultReplicaConfig)
})

test('a change leaves alone what it does not name, also what this version does not know', () => {
  const text =
    '{"sink-uri":"blackhole://","start-ts":5,"config":{"new-key":{"a":18446744073709551615}},"state":"normal","x":1}'
  const info = parseChangefeedInfo(text, changefeed)
  assert.equal(
    changedInfo(info, { state: 'stopped', adminJob: AdminJob.Stop, error: undefined }),
    '{"sink-uri":"blackhole://","start-ts":5,"config":{"new-key":{"a":18446744073709551615}},"state":"stopped","x":1,"admin-job-type":1,"error":null}',
  )
})

test('times have nanoseconds and a zone, without trailing zeros', () => {
  assert.match(goTime(1_700_000_000_000), /^2023-11-1\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$/)
  assert.match(goTime(1_700_000_000_120), /^2023-11-1\dT\d\d:\d\d:\d\d\.12(Z|[+-]\d\d:\d\d)$/)
})

test('keys are those of TiCDC, and are told apart', () => {
  const keys = clusterKeys('default')
  assert.equal(keys.info(changefeed), '/tidb/cdc/default/default/changefeed/info/a')
  assert.equal(keys.capture('u'), '/tidb/cdc/default/__cdc_meta__/capture/u')
  assert.equal(keys.owner, '/tidb/cdc/default/__cdc_meta__/owner')
  assert.equal(keys.position('u', changefeed), '/tidb/cdc/default/default/task/position/u/a')
  assert.deepEqual(parseClusterKey(keys, keys.status(changefeed)), { kind: 'status', changefeed })
  for (const other of [
    keys.capture('u'),
    keys.metaVersion,
    keys.upstream('default', 1n),
    keys.position('u', changefeed),
  ])
    assert.deepEqual(parseClusterKey(keys, other), { kind: 'other' })
})
