import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { testTable } from '../../../test/support/table-version.ts'
import { FieldFlag, type ColumnInfo } from '../../tidb/table-info.ts'
import { parseJson } from '../../tidb/json-big.ts'
import { Ts } from '../../tidb/ts.ts'
import { type ColumnDefinition, columnDefinition } from './column-definition.ts'
import { dataFileName, dataFolder, datePartOf, INDEX_FILE, parseDataFileName, pathName } from './data-path.ts'
import { parseSchemaPath, schemaChecksum, schemaFilePath, schemaFileText } from './schema-file.ts'

interface Vectors {
  readonly schemaFiles: readonly {
    readonly schema: string
    readonly table: string
    readonly tableVersion: string
    readonly query: string
    readonly type: number
    readonly columns: readonly ColumnDefinition[]
    readonly checksum: number
    readonly path: string
    readonly fileContent: string
  }[]
  readonly columnDefinitions: readonly {
    readonly sqlType: string
    readonly flen: number | null
    readonly decimal: number | null
    readonly flags: string
    readonly charset: string
    readonly column: Readonly<Record<string, string>>
  }[]
  readonly dataFiles: readonly {
    readonly schema: string
    readonly table: string
    readonly ver: string
    readonly idx: number
    readonly width: number
    readonly date?: string
    readonly path: string
    readonly indexPath: string
  }[]
  readonly isSchemaFile: readonly { readonly path: string; readonly isSchemaFile: boolean }[]
  readonly parseFileName: {
    readonly extension: string
    readonly cases: readonly { readonly name: string; readonly index?: number; readonly error?: true }[]
  }
}

const file = join(import.meta.dirname, 'vectors', 'storage-paths.json')
const vectors: Vectors = JSON.parse(readFileSync(file, 'utf8'))

for (const vector of vectors.schemaFiles)
  test(`schema file ${vector.path}`, () => {
    const definition = { ...vector, version: Ts(BigInt(vector.tableVersion)) }
    assert.equal(schemaChecksum(definition), vector.checksum)
    assert.equal(schemaFilePath(definition), vector.path)
    assert.equal(schemaFileText(definition), vector.fileContent)
    assert.deepEqual(parseJson(schemaFileText(definition)), parseJson(vector.fileContent))
  })

for (const { sqlType, flen, decimal, flags, charset, column } of vectors.columnDefinitions)
  test(`column ${sqlType} is described as ${JSON.stringify(column)}`, () => {
    const info = columnOf(sqlType, charset)
    const flag = (flags.includes('unsigned') ? FieldFlag.Unsigned : 0) | (flags.includes('pk') ? FieldFlag.PriKey : 0)
    const type = { ...info.type, flen: flen ?? -1, decimal: decimal ?? -1, flag, charset }
    const { ColumnName, ...described } = columnDefinition({ ...info, type })
    assert.equal(ColumnName, 'c')
    assert.deepEqual(JSON.parse(JSON.stringify(described)), column)
  })

function columnOf(sqlType: string, charset: string): ColumnInfo {
  const name = sqlType.replace('var_string', 'varchar').replace(/\(.*| .*/, '')
  const [info] = testTable({ columns: { c: name } }).info.columns
  assert.ok(info)
  const tp = sqlType.startsWith('var_string') ? 0xfd : info.type.tp
  return { ...info, defaultValue: null, type: { ...info.type, tp, charset } }
}

for (const { schema, table, ver, idx, width, date, path, indexPath } of vectors.dataFiles)
  test(`data file ${path}`, () => {
    const version = testTable({ schema, table, columns: { id: 'int' } })
    const folder = dataFolder(version, BigInt(ver), date ?? '', { partitionSeparator: true })
    assert.equal(`${folder}/${dataFileName(BigInt(idx), width, path.slice(path.lastIndexOf('.')))}`, path)
    assert.equal(`${folder}/${INDEX_FILE}`, indexPath)
  })

test('a partition has a folder of its own, where that is wanted', () => {
  const table = testTable({ schema: 's', table: 'p', columns: { id: 'int' }, partitionIds: [120n] })
  const partition = { ...table, physicalId: 120n }
  assert.equal(dataFolder(partition, 7n, '2024', { partitionSeparator: true }), 's/p/7/120/2024')
  assert.equal(dataFolder(partition, 7n, '2024', { partitionSeparator: false }), 's/p/7/2024')
})

for (const { path, isSchemaFile } of vectors.isSchemaFile)
  test(`${path} ${isSchemaFile ? 'is' : 'is not'} a schema file`, () =>
    assert.equal(parseSchemaPath(path) !== undefined, isSchemaFile))

for (const { name, index, error } of vectors.parseFileName.cases)
  test(`file name ${name}`, () => {
    if (error)
      assert.throws(() => parseDataFileName(name, vectors.parseFileName.extension), {
        code: 'CDC:ErrStorageSinkInvalidFileName',
      })
    else assert.equal(parseDataFileName(name, vectors.parseFileName.extension), BigInt(index ?? -1))
  })

test('the date folder is the day in the time zone', () => {
  const at = Date.UTC(2022, 11, 31, 20)
  assert.equal(datePartOf('day', 'UTC')(at), '2022-12-31')
  assert.equal(datePartOf('day', 'Asia/Shanghai')(at), '2023-01-01')
  assert.equal(datePartOf('month', 'UTC')(at), '2022-12')
  assert.equal(datePartOf('year', '+08:00')(at), '2023')
  assert.equal(datePartOf('none', 'UTC')(at), '')
})

test('a name that leads elsewhere is refused', () => {
  for (const name of ['..', '.', 'a/b', 'a\0'])
    assert.throws(() => pathName(name), { code: 'CDC:ErrStorageSinkInvalidFileName' })
  assert.equal(pathName('a..b c'), 'a..b c')
})
