import { FieldFlag, MysqlType } from '../../../tidb/table-info.ts'
import type { FieldType } from '../../../tidb/table-info.ts'
import { SqlError, unsupported } from '../error.ts'
import type { TypeNode } from '../parser/ast.ts'
import { bytesPerCharacter, defaultCollation, findCollation } from '../value/collation.ts'
import type { Collation } from '../value/collation.ts'

/** Code, and display width of the signed and the unsigned form. */
const INTEGERS: Readonly<Record<string, readonly [MysqlType, number, number]>> = {
  TINYINT: [MysqlType.Tiny, 4, 3],
  BOOL: [MysqlType.Tiny, 1, 1],
  SMALLINT: [MysqlType.Short, 6, 5],
  MEDIUMINT: [MysqlType.Int24, 9, 8],
  INT: [MysqlType.Long, 11, 10],
  BIGINT: [MysqlType.Longlong, 20, 20],
}

/** Code, length in bytes, and whether it is binary. */
const BLOBS: Readonly<Record<string, readonly [MysqlType, number, boolean]>> = {
  TINYBLOB: [MysqlType.TinyBlob, 255, true],
  BLOB: [MysqlType.Blob, 65_535, true],
  MEDIUMBLOB: [MysqlType.MediumBlob, 16_777_215, true],
  LONGBLOB: [MysqlType.LongBlob, 4_294_967_295, true],
  TINYTEXT: [MysqlType.TinyBlob, 255, false],
  TEXT: [MysqlType.Blob, 65_535, false],
  MEDIUMTEXT: [MysqlType.MediumBlob, 16_777_215, false],
  LONGTEXT: [MysqlType.LongBlob, 4_294_967_295, false],
}

/** Code and width without fraction. */
const TIMES: Readonly<Record<string, readonly [MysqlType, number]>> = {
  DATETIME: [MysqlType.Datetime, 19],
  TIMESTAMP: [MysqlType.Timestamp, 19],
  TIME: [MysqlType.Duration, 10],
}

const BINARY = { charset: 'binary', collate: 'binary', elems: [], array: false } as const

/** The stored form of a column type; `table` gives charset and collation where the column names none. */
export function buildFieldType(node: TypeNode, column: string, table: Collation): FieldType {
  const sign = (node.unsigned ? FieldFlag.Unsigned : 0) | (node.zerofill ? FieldFlag.Zerofill : 0)
  const integer = INTEGERS[node.name]
  if (integer !== undefined) {
    const [tp, signed, unsigned] = integer
    return {
      ...BINARY,
      tp,
      flag: sign,
      flen: checkWidth(node.length, column) ?? (node.unsigned ? unsigned : signed),
      decimal: 0,
    }
  }
  const blob = BLOBS[node.name]
  if (blob !== undefined) return buildBlob(node, blob, table)
  const time = TIMES[node.name]
  if (time !== undefined) return buildTime(node, column, time)
  switch (node.name) {
    case 'FLOAT':
    case 'DOUBLE':
      return buildReal(node, column, sign)
    case 'DECIMAL':
      return buildDecimal(node, column, sign)
    case 'CHAR':
    case 'VARCHAR':
    case 'BINARY':
    case 'VARBINARY':
      return buildString(node, column, table)
    case 'DATE':
      return { ...BINARY, tp: MysqlType.Date, flag: FieldFlag.Binary, flen: 10, decimal: 0 }
    case 'YEAR':
      if (node.length !== undefined && node.length !== 4)
        throw new SqlError(1818, 'Supports only YEAR or YEAR(4) column.')
      return {
        ...BINARY,
        tp: MysqlType.Year,
        flag: FieldFlag.Binary | FieldFlag.Unsigned | FieldFlag.Zerofill,
        flen: 4,
        decimal: 0,
      }
    case 'BIT':
      if ((node.length ?? 1) > 64)
        throw new SqlError(1439, `Display width out of range for column '${column}' (max = 64)`)
      if (node.length === 0) throw new SqlError(3013, `Invalid size for column '${column}'.`)
      return { ...BINARY, tp: MysqlType.Bit, flag: FieldFlag.Unsigned, flen: node.length ?? 1, decimal: 0 }
    case 'ENUM':
    case 'SET':
      return buildList(node, column, table)
    case 'JSON':
      return { ...BINARY, tp: MysqlType.Json, flag: FieldFlag.Binary, flen: 4_294_967_295, decimal: 0 }
    case 'VECTOR':
      if ((node.length ?? 0) > 16_383)
        throw new SqlError(1074, `vector cannot have more than 16383 dimensions (column '${column}')`)
      return { ...BINARY, tp: MysqlType.VectorFloat32, flag: FieldFlag.Binary, flen: node.length ?? -1, decimal: 0 }
    case 'GEOMETRY':
      throw unsupported(`type ${node.name}`)
    default:
      throw new SqlError(
        1064,
        `You have an error in your SQL syntax: unknown type '${node.name}' of column '${column}'`,
      )
  }
}

function checkWidth(width: number | undefined, column: string): number | undefined {
  if (width !== undefined && width > 255)
    throw new SqlError(1439, `Display width out of range for column '${column}' (max = 255)`)
  return width
}

function buildReal(node: TypeNode, column: string, sign: number): FieldType {
  const { length, scale } = node
  if (length !== undefined && scale !== undefined) {
    if (scale > length)
      throw new SqlError(1427, `For float(M,D), double(M,D) or decimal(M,D), M must be >= D (column '${column}').`)
    if (length > 255) throw new SqlError(1439, `Display width out of range for column '${column}' (max = 255)`)
    return {
      ...BINARY,
      tp: node.name === 'FLOAT' ? MysqlType.Float : MysqlType.Double,
      flag: sign,
      flen: length,
      decimal: scale,
    }
  }
  if (length !== undefined && length > 53) throw new SqlError(1063, `Incorrect column specifier for column '${column}'`)
  const isDouble = node.name === 'DOUBLE' || (length ?? 0) > 24
  return {
    ...BINARY,
    tp: isDouble ? MysqlType.Double : MysqlType.Float,
    flag: sign,
    flen: isDouble ? 22 : 12,
    decimal: -1,
  }
}

function buildDecimal(node: TypeNode, column: string, sign: number): FieldType {
  const flen = node.length === undefined || node.length === 0 ? 10 : node.length
  const decimal = node.scale ?? 0
  if (flen > 65) throw new SqlError(1426, `Too-big precision ${flen} specified for '${column}'. Maximum is 65.`)
  if (decimal > 30)
    throw new SqlError(1425, `Too big scale ${decimal} specified for column '${column}'. Maximum is 30.`)
  if (decimal > flen)
    throw new SqlError(1427, `For float(M,D), double(M,D) or decimal(M,D), M must be >= D (column '${column}').`)
  return { ...BINARY, tp: MysqlType.NewDecimal, flag: sign, flen, decimal }
}

function buildTime(node: TypeNode, column: string, [tp, width]: readonly [MysqlType, number]): FieldType {
  const fsp = node.length ?? 0
  if (fsp > 6) throw new SqlError(1426, `Too-big precision ${fsp} specified for '${column}'. Maximum is 6.`)
  return { ...BINARY, tp, flag: FieldFlag.Binary, flen: width + (fsp > 0 ? fsp + 1 : 0), decimal: fsp }
}

/** The collation that a column's own words and the table's default come to. */
export function resolveCollation(charset: string, collate: string, otherwise: Collation): Collation {
  const wanted = charset === 'utf8mb3' ? 'utf8' : charset
  if (collate === '') return wanted === '' || wanted === otherwise.charset ? otherwise : defaultCollation(wanted)
  const collation = findCollation(collate.replace(/^utf8mb3_/, 'utf8_'))
  if (wanted !== '' && collation.charset !== wanted)
    throw new SqlError(1253, `COLLATION '${collation.name}' is not valid for CHARACTER SET '${wanted}'`)
  return collation
}

function textOf(
  node: TypeNode,
  table: Collation,
): Pick<FieldType, 'charset' | 'collate' | 'elems' | 'array'> & { readonly binaryFlag: number } {
  let collation = resolveCollation(node.charset, node.collate, table)
  if (node.binary) collation = defaultCollation(collation.charset)
  const isBinary = collation.charset === 'binary'
  return {
    charset: collation.charset,
    collate: collation.name,
    elems: [],
    array: false,
    binaryFlag: isBinary ? FieldFlag.Binary : 0,
  }
}

function buildString(node: TypeNode, column: string, table: Collation): FieldType {
  const isBinary = node.name === 'BINARY' || node.name === 'VARBINARY'
  const tp = node.name === 'CHAR' || node.name === 'BINARY' ? MysqlType.String : MysqlType.Varchar
  if (tp === MysqlType.Varchar && node.length === undefined)
    throw new SqlError(1064, `You have an error in your SQL syntax: ${node.name} needs a length`)
  const flen = node.length ?? 1
  const { binaryFlag, ...text } = isBinary ? { ...BINARY, binaryFlag: FieldFlag.Binary } : textOf(node, table)
  const limit = tp === MysqlType.String ? 255 : Math.floor(65_535 / (isBinary ? 1 : bytesPerCharacter(text.charset)))
  if (flen > limit)
    throw new SqlError(1074, `Column length too big for column '${column}' (max = ${limit}); use BLOB or TEXT instead`)
  return { ...text, tp, flag: binaryFlag, flen, decimal: 0 }
}

function buildBlob(
  node: TypeNode,
  [tp, flen, isBinary]: readonly [MysqlType, number, boolean],
  table: Collation,
): FieldType {
  const { binaryFlag, ...text } = isBinary ? { ...BINARY, binaryFlag: FieldFlag.Binary } : textOf(node, table)
  if (node.length === undefined || (node.name !== 'BLOB' && node.name !== 'TEXT'))
    return { ...text, tp, flag: binaryFlag, flen, decimal: 0 }
  const bytes = node.length * (isBinary ? 1 : bytesPerCharacter(text.charset))
  const sized = Object.values(BLOBS).find(([, limit, binary]) => binary === isBinary && bytes <= limit)
  return {
    ...text,
    tp: sized?.[0] ?? MysqlType.LongBlob,
    flag: binaryFlag,
    flen: sized?.[1] ?? 4_294_967_295,
    decimal: 0,
  }
}

function buildList(node: TypeNode, column: string, table: Collation): FieldType {
  const { binaryFlag, ...text } = textOf(node, table)
  const elems = node.elements.map((element) => element.replace(/ +$/, ''))
  if (new Set(elems).size !== elems.length)
    throw new SqlError(
      1291,
      `Column '${column}' has duplicated value '${elems.find((name, i) => elems.indexOf(name) !== i) ?? ''}' in ${node.name}`,
    )
  const isSet = node.name === 'SET'
  if (isSet && elems.length > 64) throw new SqlError(1097, `Too many strings for column ${column} and SET`)
  if (isSet && elems.some((name) => name.includes(',')))
    throw new SqlError(
      1367,
      `Illegal set '${elems.find((name) => name.includes(',')) ?? ''}' value found during parsing`,
    )
  const lengths = elems.map((name) => Array.from(name).length)
  const flen = isSet ? lengths.reduce((sum, length) => sum + length, 0) + elems.length - 1 : Math.max(0, ...lengths)
  return { ...text, tp: isSet ? MysqlType.Set : MysqlType.Enum, flag: binaryFlag, flen, decimal: 0, elems }
}
