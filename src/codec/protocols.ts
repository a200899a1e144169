import { randomUUID } from 'node:crypto'
import { CdcError } from '../base/errors.ts'
import type { CodecSettings, ProtocolName } from '../config/sink-settings.ts'
import { createAvro } from './avro/encode.ts'
import type { SchemaRegistry } from './avro/registry.ts'
import { createCanalJson } from './canal-json/encode.ts'
import { createCsv } from './csv/encode.ts'
import { createDebezium } from './debezium/encode.ts'
import { createMaxwell } from './maxwell/encode.ts'
import { createOpenProtocol } from './open/encode.ts'
import type { Protocol } from './protocol.ts'
import { createSimple } from './simple/encode.ts'

export interface ProtocolOptions {
  /** Of the changefeed; for protocols that carry zoned times. */
  readonly timeZone: string
  /** Of the changefeed's id; part of names in avro's schemas. */
  readonly namespace?: string
  /** Where avro registers the schemas of rows; the control side needs none. */
  readonly registry?: SchemaRegistry | undefined
  /** Build time of messages, ms since 1970. */
  readonly now?: () => number
  /** `cluster-id` of the server; the name of debezium's source. */
  readonly clusterId?: string
  /** Names of files for large messages. */
  readonly newId?: () => string
}

type Create = (settings: CodecSettings, options: Required<ProtocolOptions>) => Protocol

/** A protocol is a folder and a line here. */
const CREATE: Readonly<Partial<Record<ProtocolName, Create>>> = {
  avro: createAvro,
  'canal-json': (settings, { now, newId }) => createCanalJson(settings, now, newId),
  csv: createCsv,
  debezium: createDebezium,
  maxwell: createMaxwell,
  'open-protocol': (settings, { newId }) => createOpenProtocol(settings, newId),
  simple: createSimple,
}

/** Errors: `CDC:ErrSinkUnknownProtocol` for a protocol that this build does not have. */
export function createProtocol(settings: CodecSettings, options: ProtocolOptions): Protocol {
  const create = CREATE[settings.protocol]
  if (create !== undefined)
    return create(settings, {
      namespace: 'default',
      registry: undefined,
      clusterId: 'default',
      now: Date.now,
      newId: randomUUID,
      ...options,
    })
  const built = Object.keys(CREATE).join(', ')
  const text = `protocol ${settings.protocol} is not built yet, use one of ${built}`
  throw new CdcError('CDC:ErrSinkUnknownProtocol', text)
}
