import type { JsonValue } from '../tidb/json-big.ts'
import type { Explanation } from './explain.ts'

/** As the API and `--json` show it: names in snake_case. */
export const explanationJson = (explanation: Explanation): JsonValue => snakeCase(explanation)

function snakeCase(value: unknown): JsonValue {
  if (Array.isArray(value)) return value.map(snakeCase)
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  if (typeof value !== 'object' || value === null) return null
  const members = Object.entries(value).map(([name, member]): [string, JsonValue] => [
    name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    snakeCase(member),
  ])
  return Object.fromEntries(members)
}
