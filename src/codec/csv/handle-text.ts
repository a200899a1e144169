import type { RowChange, Value, Values } from '../../event/row-change.ts'
import type { TableVersion } from '../../event/table-version.ts'
import { decodeInt } from '../../tidb/key.ts'
import { plainDecimal, doubleText } from '../../base/float-text.ts'

/** The row's handle as TiDB prints it: `7`, or `{a, 2}` where the clustered key is no integer. */
export function handleText(table: TableVersion, row: RowChange, values: Values): string {
  if (table.info.isCommonHandle) return `{${table.handleKey.map((at) => valueText(values[at] ?? null)).join(', ')}}`
  const { key } = row
  return key === undefined || key.length < 8 ? '' : String(decodeInt(key, key.length - 8))
}

function valueText(value: Value): string {
  if (value === null) return 'NULL'
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')
  return typeof value === 'number' ? plainDecimal(doubleText(value)) : String(value)
}
