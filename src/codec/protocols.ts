import { CdcError } from '../base/errors.ts'
import type { CodecSettings, ProtocolName } from '../config/sink-settings.ts'
import { createCanalJson } from './canal-json/encode.ts'
import { createOpenProtocol } from './open/encode.ts'
import type { Protocol } from './protocol.ts'

export interface ProtocolOptions {
  /** Of the changefeed; for protocols that carry zoned times. */
  readonly timeZone: string
  /** Build time of messages, ms since 1970. */
  readonly now?: () => number
}

type Create = (settings: CodecSettings, now: () => number) => Protocol

/** A protocol is a folder and a line here. */
const CREATE: Readonly<Partial<Record<ProtocolName, Create>>> = {
  'canal-json': createCanalJson,
  'open-protocol': createOpenProtocol,
}

/** Errors: `CDC:ErrSinkUnknownProtocol` for a protocol that this build does not have. */
export function createProtocol(settings: CodecSettings, options: ProtocolOptions): Protocol {
  const create = CREATE[settings.protocol]
  if (create !== undefined) return create(settings, options.now ?? Date.now)
  const built = Object.keys(CREATE).join(', ')
  const text = `protocol ${settings.protocol} is not built yet, use one of ${built}`
  throw new CdcError('CDC:ErrSinkUnknownProtocol', text)
}
