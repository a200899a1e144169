import { CdcError } from '../base/errors.ts'
import { decodeKeys, isTable, type ConfigFault } from './decode-keys.ts'
import { nanoseconds } from './go-values.ts'
import {
  apiName,
  fileName,
  isLeaf,
  type Fields,
  type KeyNode,
  type Leaf,
  type SinkFamily,
  type TableOptions,
} from './key-table.ts'
import { CONFIG_MASK, MASK, maskSinkUri } from './mask.ts'
import { REPLICA_CONFIG } from './replica-config-keys.ts'
import { defaultReplicaConfig } from './replica-config-toml.ts'
import type { ReplicaConfig } from './replica-config.ts'

/** A JSON object in the order of its keys; 64-bit numbers are bigint. */
export type JsonObject = { [name: string]: unknown }

/**
 * Reads the form kept in etcd (reference: interface, section 3.6). What another version wrote is read as far as it is
 * understood: unknown keys are let pass, faults become warnings and keep the default.
 */
export function parseStoredReplicaConfig(json: unknown): { config: ReplicaConfig; warnings: string[] } {
  const warnings: string[] = []
  if (!isTable(json)) return { config: defaultReplicaConfig, warnings: ['the stored configuration is no object'] }
  const value = decodeKeys(REPLICA_CONFIG, json, defaultReplicaConfig, {
    nameOf: fileName,
    report: (fault) => {
      if (fault.kind !== 'unknown') warnings.push(describeFault(fault))
    },
  })
  const config = Object.freeze<ReplicaConfig>(value)
  const rules = oldDispatchers(json)
  if (rules.length === 0) return { config, warnings }
  return {
    config: { ...config, sink: { ...config.sink, dispatchers: [...config.sink.dispatchers, ...rules] } },
    warnings,
  }
}

/** The form kept in etcd: the file's names, durations in nanoseconds, secrets in clear. */
export function toStoredReplicaConfig(config: ReplicaConfig): JsonObject {
  return encodeTable(REPLICA_CONFIG, { ...config }, { nameOf: fileName, api: false, family: undefined, mask: false })
}

/**
 * Reads `replica_config` of an API request (reference: interface, section 5.6) over `base`. Masked secrets are those of
 * `secretsOf`. `CDC:ErrAPIInvalidParam` names every fault; unknown members are let pass.
 */
export function parseApiReplicaConfig(
  json: unknown,
  base: ReplicaConfig = defaultReplicaConfig,
  secretsOf: ReplicaConfig = base,
): ReplicaConfig {
  if (json === undefined || json === null) return base
  if (!isTable(json))
    throw new CdcError('CDC:ErrAPIInvalidParam', 'invalid api parameter: replica_config is no JSON object')
  const problems: string[] = []
  const value = decodeKeys(REPLICA_CONFIG, json, base, {
    nameOf: apiName,
    report: (fault) => {
      if (fault.kind === 'type' || fault.kind === 'value') problems.push(`replica_config.${describeFault(fault)}`)
    },
  })
  if (problems.length > 0) throw new CdcError('CDC:ErrAPIInvalidParam', `invalid api parameter: ${problems.join('; ')}`)
  const config: ReplicaConfig = value
  return Object.freeze({ ...config, ...restoreSecrets(REPLICA_CONFIG.fields, { ...config }, { ...secretsOf }) })
}

export interface ApiFormOptions {
  /** Members that mean nothing to this family are left out, as TiCDC does once it has loaded a changefeed. */
  readonly family?: SinkFamily | undefined
  /** Replace secrets; default true. */
  readonly mask?: boolean
}

/** The form of the HTTP API. */
export function toApiReplicaConfig(config: ReplicaConfig, options: ApiFormOptions = {}): JsonObject {
  return encodeTable(
    REPLICA_CONFIG,
    { ...config },
    {
      nameOf: apiName,
      api: true,
      family: options.family,
      mask: options.mask ?? true,
    },
  )
}

function describeFault(fault: ConfigFault): string {
  const key = fault.path.join('.')
  switch (fault.kind) {
    case 'unknown':
      return `${key} is unknown`
    case 'retired':
      return `${key} is ignored: ${fault.why}`
    case 'type':
      return `${key} is of type ${fault.found}, must be ${fault.wanted}`
    case 'value':
      return `${key}: ${fault.problem}`
  }
}

/** Dispatch rules of TiCDC v4 (`sink.dispatch-rules`: schema, name, rule). */
function oldDispatchers(json: JsonObject): ReplicaConfig['sink']['dispatchers'] {
  const rules = isTable(json['sink']) ? json['sink']['dispatch-rules'] : undefined
  if (!Array.isArray(rules)) return []
  const elements: readonly unknown[] = rules
  return elements.filter(isTable).map((rule) => ({
    matcher: [`${String(rule['schema'])}.${String(rule['name'])}`],
    dispatcher: '',
    partition: typeof rule['rule'] === 'string' ? rule['rule'] : '',
    index: '',
    columns: [],
    topic: '',
  }))
}

interface Form {
  readonly nameOf: (property: string, node: KeyNode, parent: TableOptions) => string
  readonly api: boolean
  readonly family: SinkFamily | undefined
  readonly mask: boolean
}

function encodeTable(table: TableOptions & { readonly fields: Fields }, value: JsonObject, form: Form): JsonObject {
  const members: [string, unknown][] = []
  for (const [property, node] of Object.entries(table.fields)) {
    if (form.family !== undefined && node.sinks?.includes(form.family) === false) continue
    if (form.api && isLeaf(node) && node.hidden === true) continue
    const member = encodeNode(node, value[property], form)
    if (member !== undefined) members.push([form.nameOf(property, node, table), member])
  }
  const order = form.api ? (table.apiOrder ?? []) : []
  const rank = (name: string): number => (order.includes(name) ? order.indexOf(name) : order.length)
  return Object.fromEntries(members.toSorted(([a], [b]) => rank(a) - rank(b)))
}

function encodeNode(node: KeyNode, value: unknown, form: Form): unknown {
  if (value === undefined) return undefined
  if (isLeaf(node)) return encodeLeaf(node, value, form)
  if (node.kind !== 'tables') return isTable(value) ? encodeTable(node, value, form) : undefined
  if (!Array.isArray(value) || value.length === 0) return undefined
  const elements: readonly unknown[] = value
  return elements.filter(isTable).map((element) => encodeTable(node, element, form))
}

function encodeLeaf(leaf: Leaf<unknown>, value: unknown, form: Form): unknown {
  const empty = value === '' || value === 0 || (Array.isArray(value) && value.length === 0)
  if (empty && leaf.omitEmpty === true) return undefined
  if (Array.isArray(value)) return value.length === 0 ? null : value
  if (leaf.kind === 'duration' && typeof value === 'number') return nanoseconds(value)
  if (!form.mask || leaf.secret === undefined || typeof value !== 'string' || value === '') return value
  return leaf.secret === 'uri' ? maskSinkUri(value) : CONFIG_MASK
}

/** The secrets of `value` that are masks, as `base` has them. */
function restoreSecrets(fields: Fields, value: JsonObject, base: JsonObject): JsonObject {
  const restored: JsonObject = {}
  for (const [property, node] of Object.entries(fields)) {
    const now = value[property]
    const before = base[property]
    if (isLeaf(node)) {
      if (node.secret !== undefined && typeof now === 'string' && isMask(now, before)) restored[property] = before
    } else if (node.kind !== 'tables' && isTable(now) && isTable(before))
      restored[property] = { ...now, ...restoreSecrets(node.fields, now, before) }
  }
  return restored
}

const isMask = (text: string, before: unknown): boolean =>
  text === CONFIG_MASK || text === MASK || (typeof before === 'string' && before !== '' && text === maskSinkUri(before))
