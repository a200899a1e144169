import { CdcError, isAbort } from '../../base/errors.ts'
import type { KafkaSettings } from '../../config/sink-settings.ts'
import type { PrepareContext } from '../open-sink.ts'
import { kafkaClientId } from './client-id.ts'
import { Cluster } from './cluster.ts'
import { Topics } from './topics.ts'

/** The whole check may take this long. */
const PREPARE_TIMEOUT_MS = 10_000
/** Kept free below the broker's limit for what a batch of one record adds. */
const LIMIT_MARGIN_BYTES = 128

/**
 * Checks the settings against the cluster, creates the default topic, lowers `codec.maxMessageBytes` to what the broker
 * takes (reference: kafka-sink, sections 5, 6 and the stages of section 8).
 */
export async function prepareKafka(
  settings: KafkaSettings,
  context: PrepareContext,
  signal: AbortSignal,
): Promise<KafkaSettings> {
  const timeout = AbortSignal.timeout(PREPARE_TIMEOUT_MS)
  const either = AbortSignal.any([signal, timeout])
  using cluster = new Cluster(settings, kafkaClientId(settings, context))
  const topics = new Topics(cluster, settings, context.log, context.clock)
  try {
    const existing = await topics.find(settings.topic, either)
    checkPartitions(settings, existing?.partitions.length, context)
    if (settings.requiredAcks === -1) await checkReplicas(settings, existing !== undefined, topics, either)
    const limit = await topics.limitBytes(existing?.name, either)
    await topics.ensure(settings.topic, either)
    return lowered(settings, limit, context)
  } catch (error) {
    signal.throwIfAborted()
    const brokers = settings.brokers.join(',')
    if (timeout.aborted)
      throw new CdcError('CDC:ErrKafkaNewProducer', `no answer from kafka at ${brokers} within 10 seconds`, {
        cause: error,
      })
    if (error instanceof CdcError && STAGE_CODES.has(error.code)) throw error
    const cause = isAbort(error) ? undefined : error
    throw new CdcError('CDC:ErrKafkaNewProducer', `cannot use kafka at ${brokers}`, { cause })
  }
}

/** Codes that name their own stage; others are wrapped. */
const STAGE_CODES: ReadonlySet<string> = new Set(['CDC:ErrKafkaNewProducer', 'CDC:ErrKafkaCreateTopic'])

function checkPartitions(settings: KafkaSettings, actual: number | undefined, { log }: PrepareContext): void {
  const wanted = settings.partitionNum
  if (wanted === undefined || actual === undefined || wanted === actual) return
  if (wanted > actual)
    throw new CdcError(
      'CDC:ErrKafkaInvalidPartitionNum',
      `the number of partition (${wanted}) specified in sink-uri is more than that of actual topic (${actual})`,
    )
  log.warn('only the first partitions of the kafka topic are used', { topic: settings.topic, wanted, actual })
}

/** A topic that exists has its replicas already; only for a new one the factor says something. */
async function checkReplicas(settings: KafkaSettings, exists: boolean, topics: Topics, signal: AbortSignal) {
  if (exists) return
  const least = await topics.brokerSetting('min.insync.replicas', signal)
  if (least === undefined || settings.replicationFactor >= least) return
  throw new CdcError(
    'CDC:ErrKafkaInvalidConfig',
    `with \`required-acks\` -1 messages cannot be delivered when the \`replication-factor\` ` +
      `${settings.replicationFactor} is smaller than the \`min.insync.replicas\` ${least} of broker`,
  )
}

function lowered(settings: KafkaSettings, limit: number | undefined, context: PrepareContext): KafkaSettings {
  const configured = settings.codec.maxMessageBytes
  if (limit === undefined || configured <= limit - LIMIT_MARGIN_BYTES) return settings
  const maxMessageBytes = limit - LIMIT_MARGIN_BYTES
  context.log.warn('max-message-bytes lowered to what the broker takes', { configured, maxMessageBytes })
  return { ...settings, codec: { ...settings.codec, maxMessageBytes } }
}
