import type { Clock } from '../base/clock.ts'
import type { SchemaRegistry } from '../codec/avro/registry.ts'
import type { SchemaRegistrySettings } from '../config/sink-settings.ts'
import { openConfluentRegistry } from './confluent.ts'
import { openGlueRegistry } from './glue.ts'

export interface RegistryContext {
  readonly clock: Clock
  /** Called before each new try: the registry is out of reach, and work waits for it. */
  readonly onTrouble: (error: Error) => void
}

export interface OpenRegistry extends SchemaRegistry, AsyncDisposable {
  /** Resolves where the registry answers as one; tries once. Errors: `CDC:ErrAvroSchemaAPIError`. */
  check(signal: AbortSignal): Promise<void>
}

/** Connects when it is first asked something. */
export const openSchemaRegistry = (settings: SchemaRegistrySettings, context: RegistryContext): OpenRegistry =>
  settings.kind === 'glue' ? openGlueRegistry(settings, context) : openConfluentRegistry(settings, context)
