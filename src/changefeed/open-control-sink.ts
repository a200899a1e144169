import { createProtocol } from '../codec/protocols.ts'
import type { ReplicaConfig } from '../config/replica-config.ts'
import type { SinkSettings } from '../config/sink-settings.ts'
import { dispatcherOf } from '../dispatcher/dispatcher.ts'
import { openControlSink, type PrepareContext } from '../sink/open-sink.ts'
import { routeProtocol } from '../sink/routed-protocol.ts'
import type { ControlSink } from '../sink/sink.ts'

/** Opens the control side of a changefeed's sink with its protocol and dispatcher; `settings` are prepared ones. */
export function openChangefeedControlSink(
  settings: SinkSettings,
  config: ReplicaConfig,
  context: PrepareContext,
  signal: AbortSignal,
): Promise<ControlSink> {
  const { codec } = settings
  const { timeZone, clusterId } = context
  const protocol =
    codec === undefined
      ? undefined
      : createProtocol(codec, { timeZone, clusterId, namespace: context.changefeed.namespace })
  const dispatcher = dispatcherOf(settings, config)
  const routed = protocol && routeProtocol(protocol, dispatcher.routes)
  return openControlSink(settings, { ...context, protocol: routed, dispatcher }, signal)
}
