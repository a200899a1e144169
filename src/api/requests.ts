import { CdcError } from '../base/errors.ts'
import { isIdentifier } from '../config/identifier.ts'
import type { JsonObject } from '../config/replica-config-json.ts'
import { CHANGEFEED_STATES, type ChangefeedId, type ChangefeedState } from '../event/changefeed.ts'
import { parseJson } from '../tidb/json-big.ts'
import { Ts } from '../tidb/ts.ts'

/** A 400 answer. */
export const invalidParameter = (text: string): CdcError => new CdcError('CDC:ErrAPIInvalidParam', text)

/** The members of a request's JSON object; an empty body is an empty object where that is allowed. */
export function parseBody(body: unknown, options: { readonly required: boolean }): JsonObject {
  const text = typeof body === 'string' ? body : ''
  if (text.trim() === '') {
    if (!options.required) return {}
    throw invalidParameter('invalid api parameter: the request has no body')
  }
  try {
    const value: unknown = parseJson(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    // The parser's own text quotes the body, and with it perhaps secrets.
    const place = /at position \d+/.exec(error.message)?.[0] ?? ''
    throw invalidParameter(`invalid api parameter: the body is no valid JSON ${place}`.trim())
  }
  throw invalidParameter('invalid api parameter: the body is no JSON object')
}

export function stringMember(body: JsonObject, name: string): string {
  const value = body[name] ?? ''
  if (typeof value !== 'string') throw invalidParameter(`invalid api parameter: ${name} must be a string`)
  return value
}

/** A list of texts, empty when absent. */
export function textsMember(body: JsonObject, name: string): readonly string[] {
  const value: unknown = body[name] ?? []
  const isTexts = Array.isArray(value) && value.every((one) => typeof one === 'string')
  if (!isTexts) throw invalidParameter(`invalid api parameter: ${name} must be a list of texts`)
  return value
}

/** An unsigned 64-bit member, 0 when absent. */
export function tsMember(body: JsonObject, name: string): Ts {
  const value = body[name] ?? 0
  if (typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value))) {
    const ts = BigInt(value)
    if (ts >= 0n && ts <= 0xffff_ffff_ffff_ffffn) return Ts(ts)
  }
  throw invalidParameter(`invalid api parameter: ${name} must be an unsigned 64-bit integer`)
}

export type Query = Readonly<Record<string, string | string[] | undefined>>

export const queryText = (query: Query, name: string): string => {
  const value = query[name]
  return (Array.isArray(value) ? value[0] : value) ?? ''
}

/** `namespace` (or its newer name `keyspace`) of a request, `default` when absent. */
export function namespaceOf(given: string): string {
  const namespace = given === '' ? 'default' : given
  if (!isIdentifier(namespace)) throw invalidParameter(`invalid namespace: ${namespace}`)
  return namespace
}

export function changefeedIdOf(namespace: string, id: string): ChangefeedId {
  if (!isIdentifier(id)) throw invalidParameter(`invalid changefeed_id: ${id}`)
  return { namespace: namespaceOf(namespace), id }
}

/** States of `?state=`: undefined = those that are not over. */
export function statesOf(text: string): readonly ChangefeedState[] | 'all' | undefined {
  if (text === '') return undefined
  if (text === 'all') return 'all'
  const state = CHANGEFEED_STATES.find((known) => known === text)
  if (state === undefined) throw invalidParameter(`invalid state: ${text}`)
  return [state]
}
