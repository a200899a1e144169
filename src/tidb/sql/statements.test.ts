import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { exchangeOf, splitStatements } from './statements.ts'
import { quoteName, tokenize } from './tokens.ts'

test('semicolons in quotes and comments do not end a statement', () => {
  const sql = "create table `a;b` (c varchar(3) default ';');\n-- no; end\ncreate table d (e int) /* ; */; "
  assert.deepEqual(splitStatements(sql, 0n), [
    "create table `a;b` (c varchar(3) default ';')",
    '-- no; end\ncreate table d (e int) /* ; */',
  ])
})

test('a backslash escapes a quote unless the SQL mode says otherwise', () => {
  assert.equal(splitStatements(String.raw`select '\';'; select 1`, 0n).length, 2)
  assert.equal(splitStatements(String.raw`select '\'; select 1`, 1n << 20n).length, 2)
})

test('exchange partition names its partition, quoted or not', () => {
  assert.deepEqual(exchangeOf('ALTER TABLE p EXCHANGE PARTITION P0 WITH TABLE a', 0n), {
    partition: 'P0',
    validation: true,
  })
  assert.deepEqual(exchangeOf('alter table p exchange partition `p``0` with table a without validation', 0n), {
    partition: 'p`0',
    validation: false,
  })
  assert.equal(exchangeOf('alter table p add column c int', 0n), undefined)
})

test('tokens joined are the text', () => {
  const piece = fc.constantFrom(
    'select',
    ' ',
    '`a``b`',
    "'it''s'",
    '"x"',
    '1.5e3',
    '0x1F',
    '/*T![ttl] ',
    '*/',
    '/* c */',
    '#l\n',
    ';',
    '->>',
    'é',
    '-',
  )
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const sql = pieces.join('')
      let text: string
      try {
        text = tokenize(sql, 0n)
          .map((token) => token.text)
          .join('')
      } catch (error) {
        assert.ok(error instanceof SyntaxError)
        return
      }
      assert.equal(text, sql)
    }),
  )
})

test('a quoted name is read back', () => assert.equal(tokenize(quoteName('a`b'), 0n)[0]?.text, '`a``b`'))
