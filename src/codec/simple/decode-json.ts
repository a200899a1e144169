import type { RowChecksums } from '../../event/row-change.ts'
import { objectOf, type JsonObject, type JsonValue } from '../../tidb/json-big.ts'
import {
  integerMember,
  numberMember,
  objectMember,
  stringMember,
  tsMember,
  decodeObject,
  type Fault,
} from '../decoded.ts'
import { SIMPLE_DDL_TYPES } from './ddl-type.ts'
import type { RawValue, RawValues, SimpleMessage } from './message.ts'
import type { SchemaColumn, SchemaIndex, TableSchema } from './table-schema.ts'

/** The message of a JSON document. */
export function decodeJsonMessage(bytes: Uint8Array, fault: Fault): SimpleMessage {
  const document = decodeObject(bytes, fault)
  const type = stringMember(document['type'], 'type', fault)
  const buildTs = numberMember(document['buildTs'], 'buildTs', fault)
  if (type === 'WATERMARK')
    return { kind: 'watermark', watermarkTs: tsMember(document['commitTs'], 'commitTs', fault), buildTs }
  const schemaOf = (name: string): TableSchema | undefined =>
    document[name] === undefined ? undefined : decodeSchema(objectMember(document[name], name, fault), fault)
  if (type === 'BOOTSTRAP') {
    const tableSchema = schemaOf('tableSchema')
    if (tableSchema === undefined) throw fault('a bootstrap has no tableSchema')
    return { kind: 'bootstrap', buildTs, tableSchema }
  }
  const commitTs = tsMember(document['commitTs'], 'commitTs', fault)
  if (SIMPLE_DDL_TYPES.some((name) => name === type)) {
    const query = stringMember(document['sql'] ?? '', 'sql', fault)
    const schemas = { tableSchema: schemaOf('tableSchema'), preTableSchema: schemaOf('preTableSchema') }
    return { kind: 'ddl', type, query, commitTs, buildTs, ...schemas }
  }
  if (type !== 'INSERT' && type !== 'UPDATE' && type !== 'DELETE') throw fault(`unknown type ${JSON.stringify(type)}`)
  const side = (name: string): RawValues => decodeSide(document[name] ?? {}, name, fault)
  const location = document['claimCheckLocation']
  return {
    kind: 'row',
    schema: stringMember(document['database'], 'database', fault),
    table: stringMember(document['table'], 'table', fault),
    tableId: integerMember(document['tableID'], 'tableID', fault),
    commitTs,
    buildTs,
    schemaVersion: integerMember(document['schemaVersion'] ?? 0, 'schemaVersion', fault),
    before: type === 'INSERT' ? undefined : side('old'),
    after: type === 'DELETE' ? undefined : side('data'),
    onlyHandleKey: document['handleKeyOnly'] === true,
    claimCheckLocation: location === undefined ? undefined : stringMember(location, 'claimCheckLocation', fault),
    checksum: decodeChecksum(document['checksum'], fault),
  }
}

function decodeChecksum(value: JsonValue | undefined, fault: Fault): RowChecksums | undefined {
  if (value === undefined) return undefined
  const members = objectMember(value, 'checksum', fault)
  const number = (name: string): number => numberMember(members[name], `checksum.${name}`, fault)
  return {
    version: number('version'),
    corrupted: members['corrupted'] === true,
    current: number('current'),
    previous: number('previous'),
  }
}

function decodeSide(value: JsonValue, name: string, fault: Fault): RawValues {
  const members = Object.entries(objectMember(value, name, fault))
  return new Map(members.map(([column, json]) => [column, decodeValue(json, column, fault)]))
}

function decodeValue(json: JsonValue, column: string, fault: Fault): RawValue {
  if (json === null || typeof json === 'string') return json
  const members = objectMember(json, `the value of column ${column}`, fault)
  return {
    location: stringMember(members['location'], `location of column ${column}`, fault),
    value: stringMember(members['value'], `value of column ${column}`, fault),
  }
}

function decodeSchema(schema: JsonObject, fault: Fault): TableSchema {
  return {
    schema: stringMember(schema['schema'], 'tableSchema.schema', fault),
    table: stringMember(schema['table'], 'tableSchema.table', fault),
    tableId: integerMember(schema['tableID'], 'tableSchema.tableID', fault),
    version: integerMember(schema['version'], 'tableSchema.version', fault),
    columns: items(schema['columns'], 'columns', fault).map((column) => decodeColumn(column, fault)),
    indexes: items(schema['indexes'], 'indexes', fault).map((index) => decodeIndex(index, fault)),
  }
}

function decodeColumn(column: JsonObject, fault: Fault): SchemaColumn {
  const type = objectMember(column['dataType'], 'dataType', fault)
  const fallback = column['default'] ?? null
  if (typeof fallback === 'object' && fallback !== null) throw fault('a default is neither text nor number')
  return {
    name: stringMember(column['name'], 'name of a column', fault),
    mysqlType: stringMember(type['mysqlType'], 'mysqlType', fault),
    charset: stringMember(type['charset'], 'charset', fault),
    collate: stringMember(type['collate'], 'collate', fault),
    length: numberMember(type['length'] ?? 0, 'length', fault),
    decimal: numberMember(type['decimal'] ?? 0, 'decimal', fault),
    elements: texts(type['elements'] ?? [], 'elements', fault),
    unsigned: type['unsigned'] === true,
    zerofill: type['zerofill'] === true,
    nullable: column['nullable'] === true,
    default: typeof fallback === 'boolean' ? String(fallback) : fallback,
  }
}

const decodeIndex = (index: JsonObject, fault: Fault): SchemaIndex => ({
  name: stringMember(index['name'], 'name of an index', fault),
  unique: index['unique'] === true,
  primary: index['primary'] === true,
  nullable: index['nullable'] === true,
  columns: texts(index['columns'] ?? [], 'columns of an index', fault),
})

function items(value: JsonValue | undefined, name: string, fault: Fault): readonly JsonObject[] {
  if (!Array.isArray(value)) throw fault(`${name} is not an array`)
  return value.map((item) => {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) throw fault(`${name} holds no objects`)
    return objectOf(item)
  })
}

function texts(value: JsonValue, name: string, fault: Fault): readonly string[] {
  if (!Array.isArray(value)) throw fault(`${name} is not an array`)
  return value.map((item) => stringMember(item, name, fault))
}
