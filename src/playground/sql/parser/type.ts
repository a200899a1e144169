import type { TypeNode } from './ast.ts'
import type { TokenStream } from './token-stream.ts'

/** Spellings → the name that the catalog knows. */
const ALIASES: Readonly<Record<string, string>> = {
  INTEGER: 'INT',
  INT1: 'TINYINT',
  INT2: 'SMALLINT',
  INT3: 'MEDIUMINT',
  INT4: 'INT',
  INT8: 'BIGINT',
  MIDDLEINT: 'MEDIUMINT',
  DEC: 'DECIMAL',
  NUMERIC: 'DECIMAL',
  FIXED: 'DECIMAL',
  REAL: 'DOUBLE',
  FLOAT4: 'FLOAT',
  FLOAT8: 'DOUBLE',
  CHARACTER: 'CHAR',
  NCHAR: 'CHAR',
  NVARCHAR: 'VARCHAR',
  VARCHARACTER: 'VARCHAR',
  BOOLEAN: 'BOOL',
  LONG: 'MEDIUMTEXT',
}

/** A column type or the target of CAST, with its length, sign, charset and collation. */
export function parseType(stream: TokenStream): TypeNode {
  if (stream.current.kind !== 'word') throw stream.error()
  const word = stream.next().upper
  let name = ALIASES[word] ?? word
  if (word === 'DOUBLE') stream.takeWord('PRECISION')
  if (word === 'NATIONAL') name = stream.expectWord('CHAR', 'VARCHAR')
  if (name === 'CHAR' && stream.takeWord('VARYING')) name = 'VARCHAR'
  if (name === 'LONG') stream.takeWord('VARCHAR', 'VARBINARY')
  if (word === 'SIGNED' || word === 'UNSIGNED') stream.takeWord('INTEGER', 'INT')
  const isList = name === 'ENUM' || name === 'SET'
  const elements = isList ? stream.inParentheses(() => stream.list(() => stream.string())) : []
  const numbers = !isList && stream.takeSymbol('(') ? stream.list(() => Number(stream.integer())) : []
  if (numbers.length > 0) stream.expectSymbol(')')
  const flags = { unsigned: false, zerofill: false, binary: false, charset: '', collate: '' }
  for (;;) {
    if (stream.takeWord('UNSIGNED')) flags.unsigned = true
    else if (stream.takeWord('SIGNED')) flags.unsigned = false
    else if (stream.takeWord('ZEROFILL')) flags.zerofill = flags.unsigned = true
    else if (stream.takeWord('BINARY')) flags.binary = true
    else if (stream.takePhrase('CHARACTER', 'SET') || stream.takePhrase('CHAR', 'SET') || stream.takeWord('CHARSET')) {
      stream.takeSymbol('=')
      flags.charset = stream.nameOrString().toLowerCase()
    } else if (stream.takeWord('COLLATE')) flags.collate = stream.nameOrString().toLowerCase()
    else break
  }
  return { name, length: numbers[0], scale: numbers[1], elements, ...flags }
}
