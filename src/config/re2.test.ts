import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { compileRe2 } from './re2.ts'

const { subjects, cases } = JSON.parse(readFileSync(join(import.meta.dirname, 'vectors/re2.json'), 'utf8'))

for (const { pattern, error, matches } of cases) {
  test(error === undefined ? `${pattern} matches as in Go` : `${pattern} is refused as in Go`, () => {
    if (error !== undefined) {
      assert.throws(() => compileRe2(pattern, { ignoreCase: false }), {
        name: 'SyntaxError',
        message: /^error parsing regexp: /,
      })
      return
    }
    const regex = compileRe2(pattern, { ignoreCase: false })
    assert.deepEqual(
      subjects.filter((subject: string) => regex.test(subject)),
      matches,
    )
  })
}

test('ignoreCase is the flag i in front', () => {
  for (const { pattern, error } of cases) {
    if (error !== undefined) continue
    const [option, flag] = [
      compileRe2(pattern, { ignoreCase: true }),
      compileRe2(`(?i)${pattern}`, { ignoreCase: false }),
    ]
    for (const subject of subjects) assert.equal(option.test(subject), flag.test(subject), `${pattern} ${subject}`)
  }
})
