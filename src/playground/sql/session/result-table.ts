import { MysqlType } from '../../../tidb/table-info.ts'
import type { FieldType } from '../../../tidb/table-info.ts'
import type { QueryResult } from '../dml/select.ts'
import type { Row } from '../value/value.ts'

export const textType: FieldType = {
  tp: MysqlType.VarString,
  flag: 0,
  flen: 256,
  decimal: 0,
  charset: 'utf8mb4',
  collate: 'utf8mb4_bin',
  elems: [],
  array: false,
}
export const integerType: FieldType = {
  tp: MysqlType.Longlong,
  flag: 0,
  flen: 20,
  decimal: 0,
  charset: 'binary',
  collate: 'binary',
  elems: [],
  array: false,
}

/** A result made here: text columns unless the rows hold integers. */
export function resultTable(names: readonly string[], rows: readonly Row[]): QueryResult {
  const columns = names.map((name, i) => {
    const sample = rows.find((row) => (row[i] ?? null) !== null)?.[i]
    return {
      name,
      originalName: name,
      table: '',
      schema: '',
      type: typeof sample === 'bigint' ? integerType : textType,
    }
  })
  return { columns, rows }
}
