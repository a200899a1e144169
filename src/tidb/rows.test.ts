// Golden rows in both directions, their checksums, and the DDL jobs among them.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { columnInfo, tableInfo } from '../../test/support/field-type.ts'
import { parseDdlJob, stringifyDdlJob } from './ddl-job.ts'
import { parseJson, objectOf } from './json-big.ts'
import { intHandle, recordKey } from './key.ts'
import { columnChecksum, rawRowChecksum, readRowChecksum } from './row-checksum.ts'
import { compileRowDecoder } from './row-decoder.ts'
import { encodeRow, encodeRowV1 } from './row-encoder.ts'
import { parseTableInfo, stringifyTableInfo } from './table-info-json.ts'
import type { ColumnInfo, TableInfo } from './table-info.ts'
import { openTimeZone, utcZone } from './time-zone.ts'

interface RowVector {
  readonly id: string
  readonly format: 'v1' | 'v2'
  readonly table_info?: string
  readonly key?: string
  readonly value: string
  readonly time_zone?: string
  readonly columns?: readonly { id: number; Tp?: number; unsigned?: boolean; from?: string; value?: unknown }[]
  readonly column_checksum_v0?: number
  readonly checksum_version?: number
  readonly checksum?: number
  readonly extra_checksum?: number
  readonly job?: { id: number; type: number; schema_id: number; table_id: number; query: string }
  readonly job_accepted?: boolean
}

const folder = process.env['TIDEWIRE_VECTORS_DIR'] ?? join(import.meta.dirname, 'vectors')
const read = (file: string): string => readFileSync(join(folder, file), 'utf8')
const { rows } = JSON.parse(read('rows.json')) as { rows: readonly RowVector[] }
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const infoText = (file: string): string => /"table_info":\s*([^]*)\}\s*$/.exec(read(file))?.[1]?.trim() ?? ''

const TYPE_NAMES: Readonly<Record<number, string>> = { 8: 'bigint', 15: 'varchar(20)', 5: 'double', 12: 'datetime' }
const OTHERS: Readonly<Record<number, string>> = {
  246: 'decimal',
  245: 'json',
  11: 'time',
  4: 'float',
  1: 'tinyint',
}

/** The table of a vector; bare rows name the types of their columns only. */
function tableOf(row: RowVector): TableInfo {
  if (row.table_info !== undefined) return parseTableInfo(infoText(row.table_info))
  const columns = row.columns?.map(({ id, Tp = 8, unsigned = false }): ColumnInfo => {
    const name = TYPE_NAMES[Tp] ?? OTHERS[Tp] ?? ''
    return columnInfo(id, `c${id}`, unsigned ? `${name} unsigned` : name)
  })
  return tableInfo({}, { columns: columns ?? [] })
}

const isVisible = (column: ColumnInfo): boolean => column.generatedExpr === '' || column.generatedStored
const counts = { rewritten: 0, checksums: 0, jobs: 0, tables: 0 }

for (const row of rows.filter(({ columns }) => columns !== undefined))
  test(`row ${row.id} is written as it was read`, () => {
    const info = tableOf(row)
    const zone = openTimeZone(row.time_zone ?? 'UTC')
    const columns = info.columns.filter(isVisible)
    const key = row.key === undefined ? recordKey(1n, intHandle(1n)) : bytesOf(row.key)
    const values = compileRowDecoder(info, columns, zone)(key, bytesOf(row.value))
    const stored = columns.flatMap(({ id, type }, at) =>
      row.columns?.some((column) => column.id === id && column.from === undefined) === true
        ? [{ id, type, value: values[at] ?? null }]
        : [],
    )
    const encoded = hex(row.format === 'v1' ? encodeRowV1(stored, zone) : encodeRow(stored, zone))
    assert.equal(encoded, row.checksum_version === undefined ? row.value : withoutChecksum(row.value))
    counts.rewritten++
  })

function withoutChecksum(value: string): string {
  const bytes = bytesOf(value)
  const plain = bytes.slice(0, readRowChecksum(bytes)?.offset)
  plain[1] = (plain[1] ?? 0) & ~2
  return hex(plain)
}

for (const row of rows.filter((vector) => vector.column_checksum_v0 !== undefined))
  test(`row ${row.id} has the checksum of its columns`, () => {
    const info = tableOf(row)
    const columns = info.columns.filter(isVisible)
    const values = compileRowDecoder(info, columns, utcZone)(bytesOf(row.key ?? ''), bytesOf(row.value))
    assert.equal(columnChecksum(columns, values), row.column_checksum_v0)
    counts.checksums++
  })

for (const row of rows.filter((vector) => vector.checksum_version !== undefined))
  test(`row ${row.id} has the checksum that is stored in it`, () => {
    const value = bytesOf(row.value)
    const section = readRowChecksum(value)
    assert.ok(section)
    assert.deepEqual(
      [section.version, section.checksum, section.extra],
      [row.checksum_version, row.checksum, row.extra_checksum],
    )
    if (section.version > 0) assert.equal(rawRowChecksum(value, bytesOf(row.key ?? ''), section), row.checksum)
    else assert.ok([section.checksum, section.extra].includes(row.column_checksum_v0))
    counts.checksums++
  })

for (const row of rows.filter(({ id }) => id.startsWith('ddl-job')))
  test(`row ${row.id} holds its DDL job`, () => {
    const info = tableOf(row)
    const [meta] = compileRowDecoder(
      info,
      info.columns.filter((column) => column.name.lower === 'job_meta'),
      utcZone,
    )(bytesOf(row.key ?? ''), bytesOf(row.value))
    assert.ok(meta instanceof Uint8Array)
    const job = parseDdlJob(meta)
    assert.equal(job.state === 4 && job.result?.schemaVersion !== 0n, row.job_accepted)
    if (row.job !== undefined)
      assert.deepEqual(
        {
          id: Number(job.id),
          type: job.type,
          schema_id: Number(job.schemaId),
          table_id: Number(job.tableId),
          query: job.query,
        },
        {
          id: row.job.id,
          type: row.job.type,
          schema_id: row.job.schema_id,
          table_id: row.job.table_id,
          query: row.job.query,
        },
      )
    counts.jobs++
  })

test('a DDL job is written byte by byte as TiDB writes it', () => {
  const row = rows.find(({ id }) => id === 'ddl-job-create-table')
  assert.ok(row)
  const text = Buffer.from(row.value, 'hex').toString('latin1')
  const [json = ''] = /\{"id":119,.*\}/s.exec(Buffer.from(text, 'latin1').toString('utf8')) ?? []
  const body = json.slice(0, json.lastIndexOf('}') + 1)
  const stored = objectOf(parseJson(body))
  const job = parseDdlJob(new TextEncoder().encode(body))
  assert.equal(
    stringifyDdlJob({
      ...job,
      schemaVersion: job.result?.schemaVersion ?? 0n,
      table: objectOf(objectOf(stored['binlog'])['TableInfo']),
    }),
    body,
  )
})

/** Infos of old or hand-made shape, which lack keys that TiDB writes today. */
const PARTIAL: readonly string[] = ['pk-origin-default', 'binary-origin-default', 'range-partition']
const tableInfos = readdirSync(folder).flatMap((file) => /^tableinfo-(.+)\.json$/.exec(file)?.[1] ?? [])

for (const name of tableInfos)
  test(`table info ${name} ${PARTIAL.includes(name) ? 'means the same after it was written' : 'is written byte by byte as it was read'}`, () => {
    const text = infoText(`tableinfo-${name}.json`)
    const info = parseTableInfo(text)
    const written = stringifyTableInfo(info, objectOf(parseJson(text)))
    if (!PARTIAL.includes(name)) assert.equal(written, text)
    assert.deepEqual(parseTableInfo(written), info)
    counts.tables++
  })

test('numbers beyond 2^53 in table infos stay exact', () => {
  assert.equal(parseTableInfo(infoText('tableinfo-minimal.json')).updateTs, 467_996_279_696_261_139n)
  assert.match(infoText('tableinfo-sequence.json'), /"sequence_max_value":9223372036854775806/)
})

after(() => console.log('row vectors:', JSON.stringify(counts), `of ${rows.length} rows`))
