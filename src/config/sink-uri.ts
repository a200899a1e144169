import { CdcError } from '../base/errors.ts'
import { chosenProtocol, codecSettings } from './codec-settings.ts'
import { parseGoQuery, parseGoUrl, UrlSyntaxError, type GoUrl } from './go-url.ts'
import { kafkaSettings, type ResolveOptions } from './kafka-settings.ts'
import { kebabCase, type SinkFamily } from './key-table.ts'
import { maskSinkUri } from './mask.ts'
import { KAFKA_KEYS } from './replica-config-keys.ts'
import type { ReplicaConfig } from './replica-config.ts'
import { SinkFaults } from './sink-faults.ts'
import type { SinkSettings } from './sink-settings.ts'
import { STORAGE_PARAMETERS } from './storage-uri.ts'
import { storageSettings } from './storage-settings.ts'

export { maskSinkUri }

/** TiCDC's schemes → family; `undefined` = anything is allowed (blackhole). */
export const SCHEMES: Readonly<Record<string, SinkFamily | 'blackhole'>> = {
  blackhole: 'blackhole',
  kafka: 'mq',
  'kafka+ssl': 'mq',
  pulsar: 'mq',
  'pulsar+ssl': 'mq',
  'pulsar+http': 'mq',
  'pulsar+https': 'mq',
  mysql: 'mysql',
  'mysql+ssl': 'mysql',
  tidb: 'mysql',
  'tidb+ssl': 'mysql',
  file: 'storage',
  s3: 'storage',
  gcs: 'storage',
  gs: 'storage',
  azblob: 'storage',
  azure: 'storage',
  noop: 'storage',
}
const BUILT_SCHEMES = ['kafka', 'kafka+ssl', 'file', 's3', 'blackhole']

/** The scheme's family, undefined where the URI cannot be read or its scheme is unknown. */
export function sinkFamily(uri: string): SinkFamily | 'blackhole' | undefined {
  try {
    return SCHEMES[parseGoUrl(uri).scheme]
  } catch {
    return undefined
  }
}

/** A sink URI taken apart, with its first value per parameter; `CDC:ErrSinkURIInvalid` where it is none. */
export function parseSinkUri(uri: string): { url: GoUrl; parameters: ReadonlyMap<string, string> } {
  if (uri === '')
    throw new CdcError('CDC:ErrSinkURIInvalid', 'sink_uri is empty, cannot create a changefeed without sink_uri')
  try {
    const url = parseGoUrl(uri)
    const parameters = new Map<string, string>()
    for (const [name, value] of parseGoQuery(url.query)) if (!parameters.has(name)) parameters.set(name, value)
    return { url, parameters }
  } catch (error) {
    if (!(error instanceof UrlSyntaxError)) throw error
    throw new CdcError('CDC:ErrSinkURIInvalid', `sink uri invalid '${error.message}'`)
  }
}

/**
 * What URI and configuration mean together, the URI winning key by key. Throws one coded error that names every fault;
 * `warnings` gets what is accepted but means nothing.
 */
export function resolveSink(
  uri: string,
  config: ReplicaConfig,
  options: ResolveOptions = {},
  warnings: string[] = [],
): SinkSettings {
  const { url, parameters } = parseSinkUri(uri)
  const family = SCHEMES[url.scheme]
  if (family === undefined)
    throw new CdcError('CDC:ErrSinkURIInvalid', `the sink scheme (${url.scheme}) is not supported`)
  const faults = new SinkFaults()
  if (!BUILT_SCHEMES.includes(url.scheme))
    faults.unbuilt(
      'CDC:ErrSinkURIInvalid',
      `the sink scheme (${url.scheme})`,
      ` (built are ${BUILT_SCHEMES.join(', ')})`,
    )
  checkAtomicity(
    url.scheme,
    family,
    parameters.get('transaction-atomicity') || config.sink.transactionAtomicity,
    faults,
  )
  warnOfUnknown(family, parameters, faults)
  const settings = faults.empty ? settingsOf(family, url, parameters, config, faults, options) : undefined
  warnings.push(...faults.warnings)
  faults.throwIfAny()
  if (settings === undefined) throw new TypeError('a sink without settings has faults')
  return settings
}

function settingsOf(
  family: SinkFamily | 'blackhole',
  url: GoUrl,
  parameters: ReadonlyMap<string, string>,
  config: ReplicaConfig,
  faults: SinkFaults,
  options: ResolveOptions,
): SinkSettings | undefined {
  if (family === 'mq') return kafkaSettings(url, parameters, config, faults, options)
  if (family === 'storage') return storageSettings(url, parameters, config, faults)
  const codec = chosenProtocol(parameters, config) === '' ? undefined : codecSettings(parameters, config, faults)
  return { scheme: 'blackhole', codec }
}

function checkAtomicity(scheme: string, family: SinkFamily | 'blackhole', level: string, faults: SinkFaults): void {
  if (level === '' || level === 'none' || (level === 'table' && family !== 'mq')) return
  faults.add(
    'CDC:ErrSinkURIInvalid',
    `sink uri invalid '${level} level atomicity is not supported by ${scheme} scheme'`,
  )
}

const COMMON = [
  'protocol',
  'transaction-atomicity',
  'schema-registry',
  'only-output-updated-columns',
  'content-compatible',
  'debezium-disable-schema',
  'max-retry',
]

/** Parameters that a scheme knows, by their name in a URI. */
export function knownParameters(family: SinkFamily | 'blackhole'): readonly string[] {
  const codec = Object.keys(KAFKA_KEYS.codecConfig.fields)
  const own = family === 'storage' ? ['workerCount', 'flushInterval', 'fileSize'] : Object.keys(KAFKA_KEYS)
  const names = [...codec, ...own].map(kebabCase).filter((name) => !name.startsWith('sasl-oauth'))
  return [...COMMON, ...names, ...(family === 'storage' ? STORAGE_PARAMETERS : [])]
}

function warnOfUnknown(
  family: SinkFamily | 'blackhole',
  parameters: ReadonlyMap<string, string>,
  faults: SinkFaults,
): void {
  if (family === 'mysql') return
  const known = new Set(knownParameters(family))
  for (const name of parameters.keys())
    if (!known.has(name)) faults.warn(`parameter ${JSON.stringify(name)} of the sink uri is unknown and ignored`)
}
