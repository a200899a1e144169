import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Value, Values } from '../../src/event/row-change.ts'
import type { TableVersion } from '../../src/event/table-version.ts'
import { MysqlType } from '../../src/tidb/table-info.ts'
import { testTable } from './table-version.ts'

const file = join(import.meta.dirname, '../../src/codec/vectors/all-types-row.json')

/** The table and row of vectors/all-types-row.json: every column type, with text values as a MySQL client reads them. */
export function allTypes(): { table: TableVersion; values: Values; texts: ReadonlyMap<string, string | null> } {
  const { ddl, textValues } = JSON.parse(readFileSync(file, 'utf8')).vectors[0]
  const body = /\(\s*(.*)\)$/s.exec(ddl)?.[1] ?? ''
  const columns: Record<string, string> = {}
  for (const part of body.split(/,\s*(?=[a-zA-Z]\w* )/)) {
    const at = part.indexOf(' ')
    columns[part.slice(0, at)] = part.slice(at + 1).trim()
  }
  const table = testTable({ columns })
  const texts = new Map<string, string | null>(Object.entries(textValues))
  const values = table.columns.map(({ name, info }) => valueOf(texts.get(name) ?? null, info.type.tp, info.type.elems))
  return { table, values, texts }
}

function valueOf(text: string | null, tp: MysqlType, elems: readonly string[]): Value {
  if (text === null) return null
  switch (tp) {
    case MysqlType.Tiny:
    case MysqlType.Short:
    case MysqlType.Int24:
    case MysqlType.Long:
    case MysqlType.Longlong:
    case MysqlType.Year:
    case MysqlType.Bit: {
      const integer = Number(text)
      return Number.isSafeInteger(integer) ? integer : BigInt(text)
    }
    case MysqlType.Float:
      return Math.fround(Number(text))
    case MysqlType.Double:
      return Number(text)
    case MysqlType.Enum:
      return elems.indexOf(text) + 1
    case MysqlType.Set:
      return text.split(',').reduce((mask, element) => mask + 2 ** elems.indexOf(element), 0)
    case MysqlType.VectorFloat32:
      return Float32Array.from(JSON.parse(text))
    case MysqlType.String:
    case MysqlType.Varchar:
    case MysqlType.TinyBlob:
    case MysqlType.Blob:
    case MysqlType.MediumBlob:
    case MysqlType.LongBlob:
      return new TextEncoder().encode(text)
    default:
      return text
  }
}
