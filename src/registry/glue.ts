import type * as Glue from '@aws-sdk/client-glue'
import { CdcError, describeError } from '../base/errors.ts'
import { retry, type RetryPolicy } from '../base/retry.ts'
import { glueHeader } from '../codec/avro/envelope.ts'
import type { GlueSettings } from '../config/sink-settings.ts'
import { HeaderCache } from './header-cache.ts'
import type { OpenRegistry, RegistryContext } from './open-registry.ts'

/** Asking for the registry may take this long. */
const CHECK_TIMEOUT_MS = 30_000
const RETRY_BASE_MS = 500
const RETRY_CAP_MS = 30_000
/** A new version is checked by AWS; it is asked this often how that went, this far apart. */
const STATUS_TRIES = 50
const STATUS_PAUSE_MS = 200

interface Connection {
  readonly glue: typeof Glue
  readonly client: Glue.GlueClient
}

/** AWS Glue's registry (reference: protocols-avro-simple-debezium, A.8); its client is loaded when it is first used. */
export function openGlueRegistry(settings: GlueSettings, context: RegistryContext): OpenRegistry {
  const { registryName: RegistryName } = settings
  const headers = new HeaderCache()
  let opened: Promise<Connection> | undefined
  const open = (): Promise<Connection> => (opened ??= connect(settings))

  /** Goes on while AWS cannot be reached or asks for patience. */
  const persist = <T>(what: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> => {
    const policy: RetryPolicy = {
      baseMs: RETRY_BASE_MS,
      capMs: RETRY_CAP_MS,
      retryable: (error) => !(error instanceof CdcError) && isPassing(error),
      onRetry: (cause) => context.onTrouble(failed(`cannot ${what}, trying again`, cause)),
    }
    return retry(work, policy, context.clock, signal)
  }

  const registerOnce = async (subject: string, schema: string, signal: AbortSignal): Promise<string> => {
    const { glue, client } = await open()
    const SchemaId = { RegistryName, SchemaName: subject }
    const abortSignal = { abortSignal: signal }
    const create = async (): Promise<string | undefined> => {
      const command = new glue.CreateSchemaCommand({
        RegistryId: { RegistryName },
        SchemaName: subject,
        DataFormat: 'AVRO',
        Compatibility: 'NONE',
        SchemaDefinition: schema,
      })
      return (await client.send(command, abortSignal)).SchemaVersionId
    }
    const add = async (): Promise<string | undefined> => {
      const command = new glue.RegisterSchemaVersionCommand({ SchemaId, SchemaDefinition: schema })
      return (await client.send(command, abortSignal)).SchemaVersionId
    }
    const latest = new glue.GetSchemaVersionCommand({ SchemaId, SchemaVersionNumber: { LatestVersion: true } })
    const id = await client.send(latest, abortSignal).then(add, (error: unknown) => {
      if (error instanceof glue.EntityNotFoundException) return create()
      throw error
    })
    if (id === undefined) throw failed(`subject ${subject}: AWS Glue answered without a version id`)
    await settled(subject, id, signal)
    return id
  }

  /** Waits until AWS has accepted the version. */
  const settled = async (subject: string, id: string, signal: AbortSignal): Promise<void> => {
    const { glue, client } = await open()
    for (let attempt = 1; ; attempt++) {
      const version = await client.send(new glue.GetSchemaVersionCommand({ SchemaVersionId: id }), {
        abortSignal: signal,
      })
      const { Status: status = 'AVAILABLE' } = version
      if (status === 'AVAILABLE') return
      if (status !== 'PENDING' || attempt === STATUS_TRIES)
        throw failed(`subject ${subject}: AWS Glue refused the schema: version ${id} has the status ${status}`)
      await context.clock.sleep(STATUS_PAUSE_MS, signal)
    }
  }

  return {
    register: (subject, schema, signal) =>
      headers.get(subject, schema, async () => {
        const what = `register a schema under subject ${subject} in AWS Glue`
        try {
          return glueHeader(await persist(what, () => registerOnce(subject, schema, signal), signal))
        } catch (cause) {
          signal.throwIfAborted()
          throw cause instanceof CdcError ? cause : failed(`subject ${subject}: AWS Glue refused the schema`, cause)
        }
      }),
    async schema(id, signal) {
      const { glue, client } = await open()
      const command = new glue.GetSchemaVersionCommand({ SchemaVersionId: String(id) })
      try {
        const what = `look up schema version ${id} in AWS Glue`
        const version = await persist(what, () => client.send(command, { abortSignal: signal }), signal)
        if (version.SchemaDefinition !== undefined) return version.SchemaDefinition
      } catch (cause) {
        signal.throwIfAborted()
        throw failed(`cannot look up schema version ${id} in AWS Glue`, cause)
      }
      throw failed(`schema version ${id} in AWS Glue has no definition`)
    },
    async check(signal) {
      const { glue, client } = await open()
      const command = new glue.GetRegistryCommand({ RegistryId: { RegistryName } })
      const either = AbortSignal.any([signal, AbortSignal.timeout(CHECK_TIMEOUT_MS)])
      try {
        await client.send(command, { abortSignal: either })
      } catch (cause) {
        signal.throwIfAborted()
        throw failed(`the registry ${RegistryName} of AWS Glue in ${settings.region} cannot be used`, cause)
      }
    },
    async [Symbol.asyncDispose]() {
      const connection = await opened?.catch(() => undefined)
      connection?.client.destroy()
    },
  }
}

async function connect({ region, credentials }: GlueSettings): Promise<Connection> {
  const glue = await import('@aws-sdk/client-glue')
  const config: Glue.GlueClientConfig = { region }
  if (credentials !== undefined) {
    const { accessKey: accessKeyId, secretAccessKey, token } = credentials
    config.credentials = { accessKeyId, secretAccessKey, ...(token === undefined ? {} : { sessionToken: token }) }
  }
  return { glue, client: new glue.GlueClient(config) }
}

/** No answer, an error of AWS's own, or too many requests: not a refusal. */
function isPassing(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false
  if ('$retryable' in error && error.$retryable !== undefined) return true
  const metadata = '$metadata' in error ? error.$metadata : undefined
  const status =
    typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata ? metadata.httpStatusCode : 0
  const name = 'name' in error ? error.name : ''
  if (name === 'CredentialsProviderError') return false
  return typeof status !== 'number' || status < 400 || status >= 500
}

const failed = (text: string, cause?: unknown): CdcError => {
  const why = cause === undefined ? '' : `: ${nameOf(cause)}${describeError(cause)}`
  return new CdcError('CDC:ErrAvroSchemaAPIError', `schema manager API error, ${text}${why}`)
}

const nameOf = (error: unknown): string => {
  if (typeof error !== 'object' || error === null || !('$metadata' in error) || !('name' in error)) return ''
  const { $metadata: metadata } = error
  const status =
    typeof metadata === 'object' && metadata !== null && 'httpStatusCode' in metadata ? metadata.httpStatusCode : ''
  return `${String(status)} ${String(error.name)}: `
}
