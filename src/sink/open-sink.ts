import { unreachable } from '../base/errors.ts'
import type { SinkSettings } from '../config/sink-settings.ts'
import { openBlackholeControlSink, openBlackholeRowSink } from './blackhole/blackhole-sink.ts'
import { openKafkaControlSink, openKafkaRowSink } from './kafka/kafka-sink.ts'
import { prepareKafka } from './kafka/prepare.ts'
import type { SinkContext } from './sink-context.ts'
import type { ControlSink, RowSink } from './sink.ts'
import { openStorageControlSink, openStorageRowSink } from './storage/storage-sink.ts'
import { checkStorage } from './storage/storage-folder.ts'

export type { SinkContext } from './sink-context.ts'

/** The row side, for one worker. Connects lazily; errors of the downstream come from `write` and `partitions`. */
export async function openRowSink(settings: SinkSettings, context: SinkContext, signal: AbortSignal): Promise<RowSink> {
  switch (settings.scheme) {
    case 'kafka':
      return openKafkaRowSink(settings, context)
    case 'blackhole':
      return openBlackholeRowSink(context)
    case 'file':
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
    case 'file':
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
    case 'kafka':
      return prepareKafka(settings, context, signal)
    case 'blackhole':
      return settings
    case 'file':
      await checkStorage(settings)
      return settings
    default:
      return unreachable(settings)
  }
}

/** {@link prepareSink} for its errors alone: at create and update of a changefeed. */
export async function checkSink(settings: SinkSettings, context: PrepareContext, signal: AbortSignal): Promise<void> {
  await prepareSink(settings, context, signal)
}
