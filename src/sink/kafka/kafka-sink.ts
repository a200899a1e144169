import type { ErrorCode } from '../../base/errors.ts'
import type { KafkaSettings } from '../../config/sink-settings.ts'
import type { DdlEvent, TableName } from '../../event/ddl-event.ts'
import { type EncodedBatch, Messages } from '../../event/encoded.ts'
import type { ControlMessage } from '../../codec/protocol.ts'
import type { Ts } from '../../tidb/ts.ts'
import { openClaimChecks } from '../claim-check.ts'
import { type SinkMetrics, sinkMetrics } from '../metrics.ts'
import type { SinkContext } from '../sink-context.ts'
import type { ControlSink, RowSink } from '../sink.ts'
import { watchAborts } from '../watch-aborts.ts'
import { abortable } from './abortable.ts'
import { kafkaClientId } from './client-id.ts'
import { Cluster } from './cluster.ts'
import { Producer } from './producer.ts'
import { type Topic, Topics } from './topics.ts'

/** What both sides of the sink consist of. */
interface Parts extends AsyncDisposable {
  readonly topics: Topics
  readonly producer: Producer
  readonly metrics: SinkMetrics
  /** An error or an abort was its end; many writes are told of the same. */
  ended: boolean
}

/** Rows. Errors: `CDC:ErrKafkaAsyncSendMessage`, those of the topics, `CDC:ErrCaptureSuicide`. */
export function openKafkaRowSink(settings: KafkaSettings, context: SinkContext): RowSink {
  const parts = openParts(settings, context, 'rows')
  const { topics, producer, metrics } = parts
  const claimChecks = openClaimChecks(settings.codec.largeMessages, context.fence)

  async function sendLater(batch: EncodedBatch, stored: Promise<void> | undefined, signal: AbortSignal): Promise<void> {
    if (stored !== undefined) await stored
    await producer.send(topics.known(batch.topic) ?? (await topics.ensure(batch.topic, signal)), batch.messages)
  }

  const life = new AbortController()
  const watch = watchAborts((reason) => end(parts, reason, true), life.signal)

  return {
    write(batch, signal) {
      if (signal.aborted) return Promise.reject(signal.reason)
      watch(signal)
      const { rowCount, bytes } = batch.messages
      const stored = claimChecks?.pass(batch)
      const topic = stored === undefined ? topics.known(batch.topic) : undefined
      const sent =
        topic === undefined ? abortable(sendLater(batch, stored, signal), signal) : producer.send(topic, batch.messages)
      // What waits for the acknowledgement must not hold the messages: their bytes are copied already.
      return sent.then(
        () => metrics.rows(rowCount, bytes),
        (error: unknown) => {
          end(parts, error, signal.aborted)
          throw error
        },
      )
    },
    async partitions(topic, signal) {
      return (await topics.ensure(topic, signal)).partitions
    },
    async [Symbol.asyncDispose]() {
      life.abort()
      await parts[Symbol.asyncDispose]()
      await claimChecks?.[Symbol.asyncDispose]()
    },
  }
}

/** DDLs and watermarks. Errors as for rows, with `CDC:ErrKafkaSendMessage`. */
export function openKafkaControlSink(settings: KafkaSettings, context: SinkContext): ControlSink {
  const { protocol, dispatcher, clock } = context
  const parts = openParts(settings, context, 'control')
  const { topics, producer, metrics } = parts

  const topicsOf = (tables: readonly TableName[]): ReadonlySet<string> =>
    new Set([...tables.map(({ schema, table }) => dispatcher.topicOf(schema, table)), settings.topic])
  /** Topics of the last watermark's tables: they are the same ones, second after second. */
  let active = { of: [] as readonly TableName[], topics: topicsOf([]) }

  /** Settles when every message before has entered the producer: they enter in the order of the calls. */
  let entered: Promise<unknown> = Promise.resolve()

  async function enter<T>(found: Promise<T>, send: (found: T) => Promise<void>): Promise<void> {
    const sending = Promise.all([found, entered]).then(([topics]) => ({ sent: send(topics) }))
    entered = sending.catch(() => {})
    await (
      await sending
    ).sent
  }

  function sendDdl(topic: Topic, message: ControlMessage, to: 'first' | 'all'): Promise<void> {
    const messages = new Messages()
    const partitions = to === 'first' ? 1 : topic.partitions
    for (let partition = 0; partition < partitions; partition++) messages.push({ ...message, partition, rows: 0 })
    return producer.send(topic, messages)
  }

  return {
    async ddl(event, signal) {
      const message = protocol?.ddl(event)
      if (message === undefined || protocol === undefined) return
      const { schema, table } = routedBy(event)
      const topic = table === '' ? settings.topic : dispatcher.topicOf(schema, table)
      const since = clock.monotonic()
      const send = (found: Topic) => sendDdl(found, message, protocol.ddlPartitions)
      await failing(parts, signal, enter(topics.ensure(topic, signal), send))
      metrics.ddl((clock.monotonic() - since) / 1000)
    },
    async watermark(ts: Ts, tables: readonly TableName[], signal: AbortSignal) {
      const message = protocol?.watermark(ts)
      if (message === undefined) return
      if (active.of !== tables) active = { of: tables, topics: topicsOf(tables) }
      const found = Promise.all(Array.from(active.topics, (name) => topics.ensure(name, signal)))
      const messages = Messages.of([{ ...message, partition: 0, rows: 0 }])
      await failing(
        parts,
        signal,
        enter(found, (all) => producer.broadcast(all, messages)),
      )
    },
    [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose](),
  }
}

/** The table by whose rule a DDL is routed: as it was before the DDL, where it existed (reference: dispatch, 4.1). */
function routedBy(event: DdlEvent): TableName {
  return event.before === undefined
    ? { schema: event.schema, table: event.table }
    : { schema: event.before.schema, table: event.before.table }
}

/** Waits for a send; its error, or the signal's abort, is the end of the sink. */
async function failing(parts: Parts, signal: AbortSignal, send: Promise<unknown>): Promise<void> {
  try {
    await abortable(send, signal)
  } catch (error) {
    end(parts, error, signal.aborted)
    throw error
  }
}

function end(parts: Parts, error: unknown, aborted: boolean): void {
  if (parts.ended) return
  parts.ended = true
  parts.producer.fail(error instanceof Error ? error : new Error('kafka sink failed', { cause: error }))
  if (!aborted) parts.metrics.error()
}

const SEND_ERRORS = {
  rows: 'CDC:ErrKafkaAsyncSendMessage',
  control: 'CDC:ErrKafkaSendMessage',
} as const satisfies Record<string, ErrorCode>

function openParts(settings: KafkaSettings, context: SinkContext, side: 'rows' | 'control'): Parts {
  const { fence, failPoints, clock } = context
  const errorCode = SEND_ERRORS[side]
  const memory = (context.memory ?? {})[side] ?? { identity: undefined }
  if (context.memory !== undefined) context.memory[side] = memory
  const log = context.log.with({ sink: 'kafka' })
  const cluster = new Cluster(settings, kafkaClientId(settings, context))
  const producer = new Producer({
    settings,
    cluster,
    fence,
    failPoints,
    log,
    clock,
    errorCode,
    memory,
    onTrouble: (error) => context.onTrouble?.(error),
    onWork: (ms) => context.onWork?.(ms),
  })
  return {
    topics: new Topics(cluster, settings, log, clock),
    producer,
    metrics: sinkMetrics(context.metrics, context.changefeed, 'kafka'),
    ended: false,
    async [Symbol.asyncDispose]() {
      await producer[Symbol.asyncDispose]()
      cluster[Symbol.dispose]()
    },
  }
}
