import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseJson, stringifyJson } from '../tidb/json-big.ts'
import {
  parseApiReplicaConfig,
  parseStoredReplicaConfig,
  toApiReplicaConfig,
  toStoredReplicaConfig,
} from './replica-config-json.ts'
import { defaultReplicaConfig, parseReplicaConfigToml } from './replica-config-toml.ts'

// Source: what TiCDC v8.5 answers for a changefeed that was created without replica_config.
const DEFAULT_API =
  '{"memory_quota":1073741824,"case_sensitive":false,"force_replicate":false,"ignore_ineligible_table":false,"check_gc_safe_point":true,"enable_sync_point":false,"enable_table_monitor":false,"bdr_mode":false,"sync_point_interval":600000000000,"sync_point_retention":86400000000000,"filter":{"rules":["*.*"]},"mounter":{"worker_num":16},"sink":{"csv":{"delimiter":",","quote":"\\"","null":"\\\\N","include_commit_ts":false,"binary_encoding_method":"base64","output_old_value":false,"output_handle_key":false,"output_field_header":false},"encoder_concurrency":32,"terminator":"\\r\\n","date_separator":"day","enable_partition_separator":true,"enable_kafka_sink_v2":false,"only_output_updated_columns":false,"delete_only_output_handle_key_columns":false,"content_compatible":false,"advance_timeout":150,"send_bootstrap_interval_in_sec":120,"send_bootstrap_in_msg_count":10000,"send_bootstrap_to_all_partition":true,"send-all-bootstrap-at-start":false,"debezium_disable_schema":false,"debezium":{"output_old_value":true},"open":{"output_old_value":true}},"consistent":{"level":"none","max_log_size":64,"flush_interval":2000,"meta_flush_interval":200,"encoding_worker_num":16,"flush_worker_num":8,"use_file_backend":false,"memory_usage":{"memory_quota_percentage":50}},"scheduler":{"enable_table_across_nodes":false,"region_threshold":100000,"write_key_threshold":0},"integrity":{"integrity_check_level":"none","corruption_handle_level":"warn"},"changefeed_error_stuck_duration":1800000000000,"synced_status":{"synced_check_interval":300,"checkpoint_interval":15}}'

const file = `
memory-quota = 2147483648
case-sensitive = true
changefeed-error-stuck-duration = "1h30m"
[filter]
rules = ['test.*', '!test.t']
ignore-txn-start-ts = [435591239999999999, 2]
[[filter.event-filters]]
matcher = ["test.worker"]
ignore-event = ["insert"]
[sink]
protocol = "canal-json"
dispatchers = [ {matcher = ['a.*'], topic = "{schema}_{table}", partition = "index-value", index = "uk"} ]
[sink.kafka-config]
sasl-password = "s3cret"
partition-num = 4
[sink.kafka-config.codec-config]
enable-tidb-extension = true
`
const { config } = parseReplicaConfigToml(file, 'changefeed.toml')

test('the API form of the default configuration is TiCDC’s, byte by byte', () => {
  assert.equal(stringifyJson(toApiReplicaConfig(defaultReplicaConfig)), DEFAULT_API)
})

test('the stored form holds every value exactly', () => {
  const stored = stringifyJson(toStoredReplicaConfig(config))
  assert.deepEqual(parseStoredReplicaConfig(parseJson(stored)), { config, warnings: [] })
  assert.match(stored, /"ignore-txn-start-ts":\[435591239999999999,2\]/)
  assert.match(stored, /"changefeed-error-stuck-duration":5400000000000/)
  assert.match(stored, /"sasl-password":"s3cret"/)
})

test('the API form can be sent back: masked secrets keep their value', () => {
  const answer = stringifyJson(toApiReplicaConfig(config))
  assert.doesNotMatch(answer, /s3cret/)
  assert.deepEqual(parseApiReplicaConfig(parseJson(answer), config), config)
})

test('durations of API requests are Go durations or nanoseconds', () => {
  const read = (value: unknown): number =>
    parseApiReplicaConfig({ changefeed_error_stuck_duration: value }).changefeedErrorStuckDuration
  assert.equal(read('1h'), 3_600_000)
  assert.equal(read(3_600_000_000_000), 3_600_000)
})

test('an API request with wrong types is refused with every member named', () => {
  assert.throws(
    () => parseApiReplicaConfig({ memory_quota: 'x', sink: { kafka_config: { partition_num: true } }, no_such: 1 }),
    /CDC:ErrAPIInvalidParam.*replica_config\.memory_quota is of type string, must be integer; replica_config\.sink\.kafka_config\.partition_num/,
  )
})

test('a stored configuration of another version is read as far as it is understood', () => {
  const { config: read, warnings } = parseStoredReplicaConfig({
    'memory-quota': 1,
    'not-known-yet': {},
    sink: { 'dispatch-rules': [{ schema: 'a', name: 'b', rule: 'ts' }] },
  })
  assert.equal(read.memoryQuota, 1)
  assert.deepEqual(read.sink.dispatchers[0]?.matcher, ['a.b'])
  assert.deepEqual(warnings, [])
})

test('members that mean nothing to a Kafka sink are left out of its answers', () => {
  const api = toApiReplicaConfig(config, { family: 'mq' })
  assert.equal(api['bdr_mode'], undefined)
  assert.equal(api['consistent'], undefined)
})
