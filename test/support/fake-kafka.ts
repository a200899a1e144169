/** A broker in this process that answers the sink's requests and fails as it is told to; it checks producer ids as Kafka does. */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { Reader, readRecordsBatch, Writer } from '@platformatic/kafka'

/** What happens to a produce request. */
export type Fault =
  | 'none'
  /** The connection breaks before anything is appended. */
  | 'lost'
  /** It is appended, and the connection breaks. */
  | 'unanswered'
  /** It is never answered, and appended behind the third request after it, whoever sends that. */
  | 'late'
  /** The broker answers for each partition with this error code, and appends nothing. */
  | { readonly errorCode: number }
  /** The broker forgets all producers first. */
  | 'forget'

export interface FakeKafka extends AsyncDisposable {
  readonly bootstrap: string
  /** Values appended to topic `t`, by partition. */
  readonly log: readonly string[][]
  /** The same of another topic; every topic exists. */
  logOf(topic: string): readonly string[][]
  /** Producer id, epoch and sequence of each batch appended, by partition. */
  readonly marks: readonly string[][]
  readonly produceRequests: number
  /** Topics in each request for metadata. */
  readonly metadataRequests: readonly number[]
  /** Breaks every connection; a broker that is away takes no new ones until it is told to be back. */
  disconnect(away: boolean): void
}

export interface FakeKafkaOptions {
  readonly partitions?: number
  /** Fault of the n-th produce request, from 0. */
  readonly faultOf?: (request: number) => Fault
  /** Answer to a request for a producer id. */
  readonly initProducerError?: number
  /** Gets what is appended, in the order over all partitions, instead of `log` and `marks`. */
  readonly received?: (partition: number, values: readonly Buffer[]) => void
}

const OUT_OF_ORDER = 45
const INVALID_EPOCH = 47

export async function startFakeKafka(options: FakeKafkaOptions = {}): Promise<FakeKafka> {
  const { partitions = 1, faultOf = () => 'none', initProducerError = 0, received } = options
  const topics = new Map<string, FakeTopic>()
  const topicOf = (name: string): FakeTopic => topics.getOrInsertComputed(name, () => newTopic(partitions))
  const metadataRequests: number[] = []
  const sockets = new Set<Socket>()
  /** Requests, and behind which one they are appended. */
  let late: { readonly request: Reader; readonly behind: number }[] = []
  let produced = 0
  let nextProducerId = 7n
  let away = false
  let port = 0

  const server = createServer((socket) => {
    if (away) return void socket.destroy()
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    let pending = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= 4 && pending.length >= 4 + pending.readInt32BE(0)) {
        const size = pending.readInt32BE(0)
        const answer = handle(pending.subarray(4, 4 + size))
        pending = pending.subarray(4 + size)
        if (answer === 'close') return void socket.destroy()
        if (answer !== 'silence') socket.write(answer)
      }
    })
  })

  function handle(bytes: Buffer): Buffer | 'close' | 'silence' {
    const request = Reader.from(bytes)
    const apiKey = request.readInt16()
    request.readInt16()
    const body = Writer.create().appendInt32(request.readInt32())
    request.readNullableString(false)
    if (apiKey === 3) metadata(request, body)
    else if (apiKey === 22)
      body.appendInt32(0).appendInt16(initProducerError).appendInt64(nextProducerId++).appendInt16(0)
    else if (apiKey === 32) describe(request, body)
    else if (apiKey === 0) {
      const fault = faultOf(produced++)
      if (fault === 'late') {
        late.push({ request, behind: produced + 3 })
        return 'silence'
      }
      const answered = produce(request, body, fault)
      for (const held of late) if (held.behind <= produced) produce(held.request, Writer.create(), 'none')
      late = late.filter(({ behind }) => behind > produced)
      if (!answered) return 'close'
    }
    return body.prependLength().buffer
  }

  function metadata(request: Reader, body: Writer): void {
    const names = request.readArray(() => request.readString(false), false, false)
    metadataRequests.push(names.length)
    body.appendInt32(0).appendInt32(1).appendInt32(1).appendString('127.0.0.1', false).appendInt32(port)
    body.appendString(null, false).appendString(null, false).appendInt32(1).appendInt32(names.length)
    for (const name of names) {
      body.appendInt16(0).appendString(name, false).appendBoolean(false).appendInt32(partitions)
      for (let index = 0; index < partitions; index++)
        body.appendInt16(0).appendInt32(index).appendInt32(1).appendInt32(0).appendInt32(0)
    }
  }

  /** No resource has settings of its own. */
  function describe(request: Reader, body: Writer): void {
    const resources = request.readInt32()
    body.appendInt32(0).appendInt32(resources)
    for (let i = 0; i < resources; i++) {
      const type = request.readInt8()
      const name = request.readString(false)
      request.readArray(() => request.readString(false), false, false)
      body.appendInt16(0).appendString(null, false).appendInt8(type).appendString(name, false).appendInt32(0)
    }
  }

  function produce(request: Reader, body: Writer, fault: Fault): boolean {
    if (fault === 'lost') return false
    if (fault === 'forget') for (const topic of topics.values()) topic.producers.clear()
    request.readNullableString(false)
    request.readInt16()
    request.readInt32()
    const topicCount = request.readInt32()
    body.appendInt32(topicCount)
    for (let i = 0; i < topicCount; i++) {
      const name = request.readString(false)
      const count = request.readInt32()
      body.appendString(name, false).appendInt32(count)
      for (let left = count; left > 0; left--) {
        const partition = request.readInt32()
        const batch = readRecordsBatch(Reader.from(request.readBytes(false)))
        const errorCode = typeof fault === 'object' ? fault.errorCode : append(topicOf(name), partition, batch)
        body.appendInt32(partition).appendInt16(errorCode).appendInt64(0n).appendInt64(-1n).appendInt64(0n)
      }
    }
    body.appendInt32(0)
    return fault !== 'unanswered'
  }

  /** The error code; a batch that is already there is answered as if it were new. */
  function append(
    { log, marks, producers }: FakeTopic,
    partition: number,
    batch: ReturnType<typeof readRecordsBatch>,
  ): number {
    const { producerId, producerEpoch: epoch, firstSequence: sequence, records } = batch
    if (producerId >= 0n) {
      const known = producers.get(`${partition}/${producerId}`)
      if (known !== undefined) {
        if (epoch < known.epoch) return INVALID_EPOCH
        if (epoch === known.epoch && sequence === known.last) return 0
        if (epoch === known.epoch ? sequence !== known.next : sequence !== 0) return OUT_OF_ORDER
      } else if (sequence !== 0) return OUT_OF_ORDER
      producers.set(`${partition}/${producerId}`, { epoch, next: sequence + records.length, last: sequence })
    }
    if (received !== undefined) {
      received(
        partition,
        records.map(({ value }) => value ?? Buffer.alloc(0)),
      )
      return 0
    }
    log[partition]?.push(...records.map(({ value }) => String(value)))
    marks[partition]?.push(`${producerId} ${epoch} ${sequence}`)
    return 0
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address !== null && typeof address === 'object') port = address.port

  return {
    bootstrap: `127.0.0.1:${port}`,
    log: topicOf('t').log,
    logOf: (name) => topicOf(name).log,
    marks: topicOf('t').marks,
    metadataRequests,
    get produceRequests() {
      return produced
    },
    disconnect(stayAway) {
      away = stayAway
      for (const socket of sockets) socket.destroy()
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

interface FakeTopic {
  readonly log: string[][]
  readonly marks: string[][]
  /** Partition and producer id → the producer's epoch and next sequence. */
  readonly producers: Map<string, { epoch: number; next: number; last: number }>
}

const newTopic = (partitions: number): FakeTopic => ({
  log: Array.from({ length: partitions }, () => []),
  marks: Array.from({ length: partitions }, () => []),
  producers: new Map(),
})
