import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseTableRules } from './table-rules.ts'

const folder = process.env['TIDEWIRE_VECTORS_DIR'] ?? join(import.meta.dirname, '../filter/vectors')
const vectors = JSON.parse(readFileSync(join(folder, 'filters.json'), 'utf8'))

for (const { rules, cases } of vectors.tableRules) {
  test(`tables by ${JSON.stringify(rules)}`, () => {
    const exact = parseTableRules(rules, { caseSensitive: true })
    const folded = parseTableRules(rules, { caseSensitive: false })
    for (const { schema, table, caseSensitive, caseInsensitive } of cases) {
      assert.equal(exact.matchesTable(schema, table), caseSensitive, `${schema}.${table}`)
      assert.equal(folded.matchesTable(schema, table), caseInsensitive, `${schema}.${table} in any case`)
    }
  })
}

for (const { rules, cases } of vectors.schemaMatch) {
  test(`schemas by ${JSON.stringify(rules)}`, () => {
    const exact = parseTableRules(rules, { caseSensitive: true })
    const folded = parseTableRules(rules, { caseSensitive: false })
    for (const { schema, caseSensitive, caseInsensitive } of cases) {
      assert.equal(exact.matchesSchema(schema), caseSensitive, schema)
      assert.equal(folded.matchesSchema(schema), caseInsensitive, `${schema} in any case`)
    }
  })
}

for (const { rule, messageContains } of vectors.parseErrors) {
  test(`${rule} is refused: ${messageContains}`, () => {
    assert.throws(
      () => parseTableRules(['a.b', rule], { caseSensitive: true }),
      (error: Error) => {
        assert.ok(
          error.message.startsWith('[CDC:ErrFilterRuleInvalid]filter rule is invalid at <cmdline>:1: '),
          error.message,
        )
        assert.ok(error.message.includes(messageContains), error.message)
        return true
      },
    )
  })
}

test('every faulty rule is named', () => {
  assert.throws(
    () => parseTableRules(['a', 'b.c', 'd.e.f'], { caseSensitive: true }),
    /wrong table pattern in "a"; .*stray.* in "d\.e\.f"/,
  )
})

test('blank lines and comments are no rules', () => {
  const rules = parseTableRules(['', '  \t', '# a.b', ' a.* '], { caseSensitive: true })
  assert.deepEqual([rules.matchesTable('a', 'b'), rules.matchesTable('b', 'b')], [true, false])
})

test('a file of rules stands where it is imported, and cannot import another', () => {
  const home = mkdtempSync(join(tmpdir(), 'rules-'))
  try {
    const file = join(home, 'rules.txt')
    writeFileSync(file, '*.*\r\n# none\n!a.*\n')
    const rules = parseTableRules([`@${file}`, 'a.b'], { caseSensitive: true })
    assert.deepEqual(
      ['b', 'c'].map((table) => rules.matchesTable('a', table)),
      [true, false],
    )
    writeFileSync(file, 'a.b\n@other\n')
    assert.throws(
      () => parseTableRules([`@${file}`], { caseSensitive: true }),
      /rules\.txt:2: importing filter files recursively/,
    )
    assert.throws(
      () => parseTableRules(['@/nowhere'], { caseSensitive: true }),
      /<cmdline>:1: cannot open filter file \(ENOENT\)/,
    )
  } finally {
    rmSync(home, { recursive: true })
  }
})
