import { CdcError, unreachable } from '../base/errors.ts'
import type { SinkSettings } from '../config/sink-settings.ts'
import { checkStorage } from '../storage/storage.ts'
import { openSchemaRegistry } from '../registry/open-registry.ts'
import { openBlackholeControlSink, openBlackholeRowSink } from './blackhole/blackhole-sink.ts'
import { openKafkaControlSink, openKafkaRowSink } from './kafka/kafka-sink.ts'
import { prepareKafka } from './kafka/prepare.ts'
import type { SinkContext } from './sink-context.ts'
import type { ControlSink, RowSink } from './sink.ts'
import { openStorageControlSink, openStorageRowSink } from './storage/storage-sink.ts'

export type { SinkContext } from './sink-context.ts'

/** The row side, for one worker. Connects lazily; errors of the downstream come from `write` and `partitions`. */
export async function openRowSink(settings: SinkSettings, context: SinkContext, signal: AbortSignal): Promise<RowSink> {
  switch (settings.scheme) {
    case 'kafka':
      return openKafkaRowSink(settings, context)
    case 'blackhole':
      return openBlackholeRowSink(context)
    case 'storage':
      return openStorageRowSink(settings, context, signal)
    default:
      return unreachable(settings)
  }
}

/** The control side, for the owner. */
export async function openControlSink(
  settings: SinkSettings,
  context: SinkContext,
  signal: AbortSignal,
): Promise<ControlSink> {
  switch (settings.scheme) {
    case 'kafka':
      return openKafkaControlSink(settings, context)
    case 'blackhole':
      return openBlackholeControlSink(context)
    case 'storage':
      return openStorageControlSink(settings, context, signal)
    default:
      return unreachable(settings)
  }
}

/** What {@link prepareSink} needs: no protocol exists yet, because its limits come from here. */
export type PrepareContext = Omit<SinkContext, 'protocol' | 'dispatcher'>

/**
 * Dials the downstream, within 10 s, checks the settings against it, creates the default topic where that is allowed,
 * and returns the settings that hold there (`codec.maxMessageBytes` lowered to what the broker takes). To be called
 * before `createProtocol`.
 */
export async function prepareSink<S extends SinkSettings>(
  settings: S,
  context: PrepareContext,
  signal: AbortSignal,
): Promise<S>
export async function prepareSink(
  settings: SinkSettings,
  context: PrepareContext,
  signal: AbortSignal,
): Promise<SinkSettings> {
  switch (settings.scheme) {
    case 'kafka': {
      const [prepared] = await Promise.all([
        prepareKafka(settings, context, signal),
        checkRegistry(settings, context, signal),
      ])
      return prepared
    }
    case 'blackhole':
      return settings
    case 'storage':
      await checkStorage(settings.location)
      return settings
    default:
      return unreachable(settings)
  }
}

const CHECK_TIMEOUT_MS = 10_000

/** Asks the schema registry whether it is one; where none is needed, nothing. */
async function checkRegistry({ codec }: SinkSettings, { clock }: PrepareContext, signal: AbortSignal): Promise<void> {
  if (codec?.avro.registry === undefined) return
  await using registry = openSchemaRegistry(codec.avro.registry, { clock, onTrouble() {} })
  const timeout = AbortSignal.timeout(CHECK_TIMEOUT_MS)
  try {
    await registry.check(AbortSignal.any([signal, timeout]))
  } catch (cause) {
    signal.throwIfAborted()
    throw new CdcError('CDC:ErrKafkaNewProducer', 'cannot build the encoder of avro', { cause })
  }
}

/** {@link prepareSink} for its errors alone: at create and update of a changefeed. */
export async function checkSink(settings: SinkSettings, context: PrepareContext, signal: AbortSignal): Promise<void> {
  await prepareSink(settings, context, signal)
}
