import type { TableVersion } from '../../event/table-version.ts'
import { STATE_PUBLIC, type ColumnInfo } from '../../tidb/table-info.ts'

/** What the schema of every message says about `source`: constant (reference: C.3). */
const SOURCE_FIELDS = [
  ...['version', 'connector', 'name'].map((name) => field('string', false, name)),
  field('int64', false, 'ts_ms'),
  '{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":"true,last,false,incremental"},"default":"false","field":"snapshot"}',
  field('string', false, 'db'),
  field('string', true, 'sequence'),
  field('string', true, 'table'),
  field('int64', false, 'server_id'),
  field('string', true, 'gtid'),
  field('string', false, 'file'),
  field('int64', false, 'pos'),
  field('int32', false, 'row'),
  field('int64', true, 'thread'),
  field('string', true, 'query'),
]

/** What follows `before` and `after` in the fields of an envelope. */
const ENVELOPE_TAIL = [
  `{"type":"struct","fields":[${SOURCE_FIELDS.join(',')}],"optional":false,"name":"io.debezium.connector.mysql.Source","field":"source"}`,
  field('string', false, 'op'),
  field('int64', true, 'ts_ms'),
  `{"type":"struct","fields":[${[
    field('string', false, 'id'),
    field('int64', false, 'total_order'),
    field('int64', false, 'data_collection_order'),
  ].join(',')}],"optional":true,"name":"event.block","version":1,"field":"transaction"}`,
]

function field(type: string, optional: boolean, name: string): string {
  return `{"type":"${type}","optional":${optional},"field":"${name}"}`
}

/** `name`: `cluster.schema.table`; `columns`: JSON texts of their parts. */
export function keySchema(name: string, columns: readonly string[]): string {
  return `{"type":"struct","name":"${name}.Key","optional":false,"fields":[${columns.join(',')}]}`
}

export function envelopeSchema(name: string, columns: readonly string[]): string {
  const side = (which: string): string =>
    `{"type":"struct","optional":true,"name":"${name}.Value","field":"${which}","fields":[${columns.join(',')}]}`
  return envelope(name, [side('before'), side('after'), ...ENVELOPE_TAIL])
}

export const watermarkSchema = (name: string): string => envelope(name, ENVELOPE_TAIL)

const envelope = (name: string, fields: readonly string[]): string =>
  `{"type":"struct","optional":false,"name":"${name}.Envelope","version":1,"fields":[${fields.join(',')}]}`

/** Virtual columns are in the schema, although no row has them. */
export const virtualColumns = ({ info }: TableVersion): readonly ColumnInfo[] =>
  info.columns.filter(
    (column) =>
      column.generatedExpr !== '' && !column.generatedStored && !column.hidden && column.state === STATE_PUBLIC,
  )

/** As Kafka allows it in a topic's name; a leading digit stays (reference: C.2). */
export const topicName = (name: string): string => name.replace(/[^A-Za-z0-9_.]/gu, '_')

const member = (type: string, optional: boolean, name: string): string =>
  `{"field":"${name}","optional":${optional},"type":"${type}"}`

const DDL_SOURCE_FIELDS = [
  ...['version', 'connector', 'name'].map((name) => member('string', false, name)),
  member('int64', false, 'ts_ms'),
  '{"field":"snapshot","optional":true,"type":"string","parameters":{"allowed":"true,last,false,incremental"},"default":"false","name":"io.debezium.data.Enum","version":1}',
  member('string', false, 'db'),
  member('string', true, 'sequence'),
  member('string', true, 'table'),
  member('int64', false, 'server_id'),
  member('string', true, 'gtid'),
  member('string', false, 'file'),
  member('int64', false, 'pos'),
  member('int32', false, 'row'),
  member('int64', true, 'thread'),
  member('string', true, 'query'),
]

const struct = (name: string, fields: readonly string[]): string =>
  `{"name":"io.debezium.connector.schema.${name}","optional":false,"type":"struct","version":1,"fields":[${fields.join(',')}]}`

const texts = (name: string): string =>
  `{"field":"${name}","optional":true,"type":"array","items":{"type":"string","optional":false}}`

const COLUMN = struct('Column', [
  member('string', false, 'name'),
  member('int32', false, 'jdbcType'),
  member('int32', true, 'nativeType'),
  member('string', false, 'typeName'),
  member('string', true, 'typeExpression'),
  member('string', true, 'charsetName'),
  member('int32', true, 'length'),
  member('int32', true, 'scale'),
  member('int32', false, 'position'),
  member('boolean', true, 'optional'),
  member('boolean', true, 'autoIncremented'),
  member('boolean', true, 'generated'),
  member('string', true, 'comment'),
  member('string', true, 'defaultValueExpression'),
  texts('enumValues'),
])

const TABLE = [
  member('string', true, 'defaultCharsetName'),
  texts('primaryKeyColumnNames'),
  `{"field":"columns","optional":false,"type":"array","items":${COLUMN}}`,
  member('string', true, 'comment'),
]

const CHANGE = struct('Change', [
  member('string', false, 'type'),
  member('string', false, 'id'),
  `{"field":"table","optional":true,"type":"struct","name":"io.debezium.connector.schema.Table","version":1,"fields":[${TABLE.join(',')}]}`,
])

/** Schema of a DDL's value (reference: C.5). */
export const DDL_SCHEMA =
  '{"optional":false,"type":"struct","version":1,"name":"io.debezium.connector.mysql.SchemaChangeValue","fields":[' +
  [
    `{"field":"source","name":"io.debezium.connector.mysql.Source","optional":false,"type":"struct","fields":[${DDL_SOURCE_FIELDS.join(',')}]}`,
    member('int64', false, 'ts_ms'),
    member('string', true, 'databaseName'),
    member('string', true, 'schemaName'),
    member('string', true, 'ddl'),
    `{"field":"tableChanges","optional":false,"type":"array","items":${CHANGE}}`,
  ].join(',') +
  ']}'

export const DDL_KEY_SCHEMA =
  '{"type":"struct","name":"io.debezium.connector.mysql.SchemaChangeKey","optional":false,"version":1,"fields":[{"field":"databaseName","optional":false,"type":"string"}]}'
