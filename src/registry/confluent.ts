import { CdcError, describeError } from '../base/errors.ts'
import { retry, type RetryPolicy } from '../base/retry.ts'
import { confluentHeader } from '../codec/avro/envelope.ts'
import type { ConfluentSettings } from '../config/sink-settings.ts'
import { type Answer, openHttpClient } from './http.ts'
import { HeaderCache } from './header-cache.ts'
import type { OpenRegistry, RegistryContext } from './open-registry.ts'

const ACCEPT = 'application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json, application/json'
const CONTENT = 'application/vnd.schemaregistry.v1+json'
/** One try may take this long. */
const TRY_TIMEOUT_MS = 10_000
const TOO_MANY_REQUESTS = 429
const RETRY_BASE_MS = 500
const RETRY_CAP_MS = 30_000
/** An error shows this much of an answer. */
const SHOWN_BODY_CHARACTERS = 500

/** A registry with Confluent's HTTP API (reference: protocols-avro-simple-debezium, A.8). */
export function openConfluentRegistry(settings: ConfluentSettings, context: RegistryContext): OpenRegistry {
  const http = openHttpClient(settings)
  const headers = new HeaderCache()

  const exchange = async (
    method: 'GET' | 'POST',
    path: string,
    body: string | undefined,
    signal: AbortSignal,
  ): Promise<Answer> => {
    const either = AbortSignal.any([signal, AbortSignal.timeout(TRY_TIMEOUT_MS)])
    const content: Readonly<Record<string, string>> = body === undefined ? {} : { 'content-type': CONTENT }
    const answer = await http.send(method, path, { accept: ACCEPT, ...content }, body, either)
    if (answer.status >= 200 && answer.status < 300) return answer
    if (answer.status >= 400 && answer.status < 500 && answer.status !== TOO_MANY_REQUESTS) return answer
    throw new Error(`status ${answer.status}: ${shown(answer.body)}`)
  }

  /** Until there is an answer that more tries would not change. */
  const persist = (what: string, work: () => Promise<Answer>, signal: AbortSignal): Promise<Answer> => {
    const policy: RetryPolicy = {
      baseMs: RETRY_BASE_MS,
      capMs: RETRY_CAP_MS,
      onRetry: (cause) =>
        context.onTrouble(failed(`cannot ${what} at ${http.shownUrl}, trying again: ${describeError(cause)}`)),
    }
    return retry(work, policy, context.clock, signal)
  }

  const registerAnew = async (subject: string, schema: string, signal: AbortSignal): Promise<Uint8Array> => {
    const path = `/subjects/${encodeURIComponent(subject)}/versions`
    const what = `register a schema under subject ${subject}`
    const answer = await persist(what, () => exchange('POST', path, JSON.stringify({ schema }), signal), signal)
    if (answer.status !== 200)
      throw failed(
        `subject ${subject}: ${http.shownUrl} refused the schema with ${answer.status}: ${shown(answer.body)}`,
      )
    const id = memberOf(answer.body, 'id')
    if (typeof id !== 'number' || !Number.isInteger(id) || id <= 0 || id > 0xffff_ffff)
      throw failed(`subject ${subject}: ${http.shownUrl} answered without a usable id: ${shown(answer.body)}`)
    return confluentHeader(id)
  }

  return {
    register: (subject, schema, signal) => headers.get(subject, schema, () => registerAnew(subject, schema, signal)),
    async schema(id, signal) {
      const what = `look up schema ${id}`
      const answer = await persist(what, () => exchange('GET', `/schemas/ids/${id}`, undefined, signal), signal)
      const schema = memberOf(answer.body, 'schema')
      if (answer.status === 200 && typeof schema === 'string') return schema
      throw failed(`cannot ${what}: ${http.shownUrl} answered ${answer.status}: ${shown(answer.body)}`)
    },
    async check(signal) {
      try {
        const root = await exchange('GET', '', undefined, signal)
        if (root.status === 200 && root.body.trim() === '{}') return
        // Proxies and other makers' registries answer something else there.
        const subjects = await exchange('GET', '/subjects', undefined, signal)
        if (subjects.status === 200 && Array.isArray(parsed(subjects.body))) return
        throw new Error(`status ${subjects.status}: ${shown(subjects.body)}`)
      } catch (cause) {
        signal.throwIfAborted()
        throw failed(`no schema registry answers at ${http.shownUrl}: ${describeError(cause)}`)
      }
    },
    async [Symbol.asyncDispose]() {
      http[Symbol.dispose]()
    },
  }
}

const failed = (text: string): CdcError =>
  new CdcError('CDC:ErrAvroSchemaAPIError', `schema manager API error, ${text}`)

const shown = (body: string): string =>
  body.length > SHOWN_BODY_CHARACTERS ? `${body.slice(0, SHOWN_BODY_CHARACTERS)} …` : body

function parsed(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

function memberOf(body: string, name: string): unknown {
  const value = parsed(body)
  return typeof value === 'object' && value !== null ? new Map(Object.entries(value)).get(name) : undefined
}
