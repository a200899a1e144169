import type { JsonObject } from '../config/replica-config-json.ts'
import type { ApiClient } from './api-client.ts'
import type { CommandContext } from './command.ts'

// Shared readings of a server's answers.

/** `/changefeeds/<id><rest>?namespace=…` of the changefeed that the flags name. */
export function changefeedPath({ flags }: CommandContext, rest = ''): string {
  const namespace = encodeURIComponent(flags.text('namespace'))
  return `/changefeeds/${encodeURIComponent(flags.text('changefeed-id'))}${rest}?namespace=${namespace}`
}

/** The upstream's time now. */
export async function currentTs(client: ApiClient): Promise<bigint> {
  const answer = await client.send('POST', '/tso', {})
  return (uint64(answer['timestamp']) << 18n) | uint64(answer['logic_time'])
}

/** A number of an answer, 0 where there is none. */
export function uint64(value: unknown): bigint {
  if (typeof value === 'bigint') return value
  return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : 0n
}

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

/** The `items` of a list answer. */
export function itemsOf(answer: JsonObject): JsonObject[] {
  const items: unknown = answer['items']
  if (!Array.isArray(items)) return []
  const elements: readonly unknown[] = items
  return elements.flatMap((item) => (typeof item === 'object' && item !== null ? [{ ...item }] : []))
}
