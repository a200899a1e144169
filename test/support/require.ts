import type { TestContext } from 'node:test'

/** True, or the sentence that says what is missing and how to get it. */
export type Availability = true | string

/**
 * False, with the test skipped by name, when something that it needs is missing; with REQUIRE_ALL=1 that is a failure.
 * Use: `if (!(await requireOrSkip(t, kafka.available))) return`.
 */
export async function requireOrSkip(
  t: TestContext,
  ...needs: readonly (() => Promise<Availability>)[]
): Promise<boolean> {
  for (const available of needs) {
    const answer = await available()
    if (answer === true) continue
    if (process.env['REQUIRE_ALL'] === '1') throw new Error(`REQUIRE_ALL=1, but ${answer}`)
    t.skip(answer)
    return false
  }
  return true
}
