import { CdcError } from '../../base/errors.ts'
import type { CodecSettings, CsvSettings } from '../../config/sink-settings.ts'
import { ColumnFlag, type TableVersion } from '../../event/table-version.ts'
import { MysqlType, type FieldType } from '../../tidb/table-info.ts'
import { maxTs, Ts } from '../../tidb/ts.ts'
import type { Value } from '../../tidb/value.ts'
import { parseFloatText, parseInteger, parseVector, type DecodedValues } from '../decoded.ts'

export interface CsvRow {
  readonly kind: 'row'
  /** I insert, U update, D delete; an update with its old value is a delete and an insert. */
  readonly operation: 'I' | 'U' | 'D'
  readonly schema: string
  readonly table: string
  /** Only with `include-commit-ts`. */
  readonly commitTs: Ts | undefined
  /** Only with `output-old-value`. */
  readonly isUpdate: boolean | undefined
  /** Only with `output-handle-key`. */
  readonly handleKey: string | undefined
  readonly values: DecodedValues
}

/** What the schema file says about a column. */
export interface CsvColumn {
  readonly name: string
  readonly type: FieldType
  readonly binary: boolean
}

export const csvColumns = (table: TableVersion): readonly CsvColumn[] =>
  table.columns.map(({ name, info, flags }) => ({ name, type: info.type, binary: (flags & ColumnFlag.Binary) !== 0 }))

const fault = (text: string): CdcError => new CdcError('CDC:ErrCSVDecodeFailed', `cannot decode a csv file: ${text}`)

/** A field: its bytes without quotes and escapes, and whether it was a string for sure. */
interface Field {
  readonly bytes: Uint8Array
  readonly quoted: boolean
}

/** The rows of a file of a table with these columns. Error: `CDC:ErrCSVDecodeFailed`. */
export function* decodeCsvFile(
  file: Uint8Array,
  columns: readonly CsvColumn[],
  settings: Pick<CodecSettings, 'csv' | 'terminator'>,
): Generator<CsvRow> {
  const { csv } = settings
  const meta = 3 + Number(csv.includeCommitTs) + Number(csv.outputOldValue) + Number(csv.outputHandleKey)
  let line = 0
  for (const fields of splitLines(file, settings)) {
    line++
    if (line === 1 && csv.outputFieldHeader) continue
    if (fields.length !== meta + columns.length)
      throw fault(`line ${line} has ${fields.length} fields, ${meta + columns.length} are expected`)
    yield {
      kind: 'row',
      ...decodeMeta(fields, csv, line),
      values: decodeValues(fields.slice(meta), columns, csv, line),
    }
  }
}

function decodeMeta(fields: readonly Field[], csv: CsvSettings, line: number): Omit<CsvRow, 'kind' | 'values'> {
  let at = 0
  const next = (): string => textOf(fields[at++]?.bytes ?? new Uint8Array())
  const operation = next()
  if (operation !== 'I' && operation !== 'U' && operation !== 'D') throw fault(`line ${line} has no operation`)
  const [table, schema] = [next(), next()]
  let commitTs: Ts | undefined
  if (csv.includeCommitTs) {
    const value = parseInteger(next())
    if (value === undefined || BigInt(value) < 0n || BigInt(value) > maxTs) throw fault(`line ${line} has no commit ts`)
    commitTs = Ts(BigInt(value))
  }
  let isUpdate: boolean | undefined
  if (csv.outputOldValue) {
    const text = next()
    if (text !== 'true' && text !== 'false') throw fault(`line ${line} does not say whether it is an update`)
    isUpdate = text === 'true'
  }
  return { operation, table, schema, commitTs, isUpdate, handleKey: csv.outputHandleKey ? next() : undefined }
}

function decodeValues(
  fields: readonly Field[],
  columns: readonly CsvColumn[],
  csv: CsvSettings,
  line: number,
): DecodedValues {
  return new Map(
    columns.map((column, i) => {
      const field = fields[i] ?? { bytes: new Uint8Array(), quoted: false }
      const value = isNull(field, csv) ? null : parseValue(field.bytes, column, csv)
      if (value === undefined) throw fault(`line ${line}: the value of column ${column.name} does not fit its type`)
      return [column.name, value]
    }),
  )
}

/** An escaped field never equals the text of NULL unless it is that; what it was before is no longer known here. */
const isNull = ({ bytes, quoted }: Field, csv: CsvSettings): boolean => !quoted && rawNull(bytes, csv)

const rawNull = (bytes: Uint8Array, csv: CsvSettings): boolean => textOf(bytes) === csv.null

const textOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')

/** undefined = it does not fit. */
function parseValue(bytes: Uint8Array, { type, binary }: CsvColumn, csv: CsvSettings): Value | undefined {
  switch (type.tp) {
    case MysqlType.Tiny:
    case MysqlType.Short:
    case MysqlType.Int24:
    case MysqlType.Long:
    case MysqlType.Longlong:
    case MysqlType.Year:
    case MysqlType.Bit:
      return parseInteger(textOf(bytes))
    case MysqlType.Float: {
      const value = parseFloatText(textOf(bytes))
      return value === undefined ? undefined : Math.fround(value)
    }
    case MysqlType.Double:
      return parseFloatText(textOf(bytes))
    case MysqlType.Enum: {
      const index = type.elems.indexOf(textOf(bytes))
      return index < 0 ? undefined : index + 1
    }
    case MysqlType.Set:
      return parseSet(textOf(bytes), type.elems)
    case MysqlType.VectorFloat32:
      return parseVector(textOf(bytes))
    case MysqlType.String:
    case MysqlType.Varchar:
    case MysqlType.VarString:
    case MysqlType.TinyBlob:
    case MysqlType.Blob:
    case MysqlType.MediumBlob:
    case MysqlType.LongBlob:
      return binary ? parseBinary(textOf(bytes), csv.binaryEncoding) : bytes
    default:
      return textOf(bytes)
  }
}

function parseSet(text: string, elements: readonly string[]): Value | undefined {
  let mask = 0n
  for (const name of text === '' ? [] : text.split(',')) {
    const at = elements.indexOf(name)
    if (at < 0) return undefined
    mask |= 1n << BigInt(at)
  }
  return mask <= Number.MAX_SAFE_INTEGER ? Number(mask) : mask
}

function parseBinary(text: string, encoding: 'base64' | 'hex'): Uint8Array | undefined {
  const bytes = new Uint8Array(Buffer.from(text, encoding))
  return Buffer.from(bytes).toString(encoding) === text ? bytes : undefined
}

/** The lines of a file, each as its fields. */
function* splitLines(file: Uint8Array, { csv, terminator }: Pick<CodecSettings, 'csv' | 'terminator'>) {
  const end = new TextEncoder().encode(terminator)
  const delimiter = new TextEncoder().encode(csv.delimiter)
  const quote = csv.quote === '' ? undefined : csv.quote.charCodeAt(0)
  const nullText = new TextEncoder().encode(csv.null)
  const startsAt = (text: Uint8Array, at: number): boolean =>
    text.length > 0 && text.every((b, i) => file[at + i] === b)
  const ends = (at: number): boolean => at >= file.length || startsAt(end, at) || startsAt(delimiter, at)
  for (let at = 0; at < file.length;) {
    const fields: Field[] = []
    for (;;) {
      let field: Field
      if (quote !== undefined && file[at] === quote) [field, at] = quotedField(file, at, quote)
      else if (quote !== undefined) {
        const start = at
        while (!ends(at)) at++
        field = { bytes: file.subarray(start, at), quoted: false }
      } else if (startsAt(nullText, at) && ends(at + nullText.length)) {
        field = { bytes: nullText, quoted: false }
        at += nullText.length
      } else {
        const plain: number[] = []
        while (!ends(at)) {
          const escaped = file[at] === 0x5c
          if (escaped) at++
          const b = file[at++]
          if (b === undefined) throw fault('it ends within an escape')
          plain.push(escaped ? (ESCAPES.get(b) ?? b) : b)
        }
        field = { bytes: Uint8Array.from(plain), quoted: true }
      }
      fields.push(field)
      if (at >= file.length || startsAt(end, at)) break
      if (!startsAt(delimiter, at)) throw fault(`a field does not end at byte ${at}`)
      at += delimiter.length
    }
    at += end.length
    yield fields
  }
}

const ESCAPES: ReadonlyMap<number, number> = new Map([
  [0x6e, 0x0a],
  [0x72, 0x0d],
])

function quotedField(file: Uint8Array, start: number, quote: number): [Field, number] {
  const parts: Uint8Array[] = []
  for (let from = start + 1; ;) {
    const at = file.indexOf(quote, from)
    if (at < 0) throw fault(`a quote at byte ${start} is not closed`)
    if (file[at + 1] !== quote) {
      parts.push(file.subarray(from, at))
      const [only] = parts
      return [{ bytes: parts.length === 1 && only ? only : new Uint8Array(Buffer.concat(parts)), quoted: true }, at + 1]
    }
    parts.push(file.subarray(from, at + 1))
    from = at + 2
  }
}
