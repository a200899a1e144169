import { CdcError } from '../../base/errors.ts'
import type { KafkaSettings } from '../../config/sink-settings.ts'
import type { ChangefeedId } from '../../event/changefeed.ts'

/** The configured client id, or the derived one (reference: kafka-sink, section 2). */
export function kafkaClientId(
  settings: KafkaSettings,
  context: { readonly changefeed: ChangefeedId; readonly captureAddress: string },
): string {
  const { namespace, id } = context.changefeed
  const derived = `TiCDC_producer_${context.captureAddress}_${namespace}_${id}`.replaceAll(/[?:,"[\]]/g, '_')
  const clientId = settings.clientId === undefined || settings.clientId === '' ? derived : settings.clientId
  if (!/^[A-Za-z0-9._-]+$/.test(clientId))
    throw new CdcError('CDC:ErrKafkaInvalidClientID', `invalid kafka client ID '${clientId}'`)
  return clientId
}
