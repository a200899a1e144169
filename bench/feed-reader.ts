// Reads the benchmark's change feed and does nothing with it: `feed` through the event feed, `raw` as undecoded gRPC
// messages. Prints {"subscribed": true}; SIGUSR1 ends the warm-up: what came before it is forgotten, and {"warm": true}
// printed. The last line has rows, bytes, CPU and time: `feed` when it has so many rows, `raw` when SIGUSR2 says that
// everything was sent.
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js'
import { systemClock } from '../src/base/clock.ts'
import { silentLog } from '../src/base/log.ts'
import { ChangeDataRequest, ChangeDataService } from '../src/proto/cdcpb.ts'
import { tableRecordRange } from '../src/tidb/key.ts'
import { Ts } from '../src/tidb/ts.ts'
import { openPdClient } from '../src/upstream/pd/client.ts'
import { openEventFeed } from '../src/upstream/tikv/event-feed.ts'

const [mode, endpoint = '', ids = '', after = '0', rowsText = '0'] = process.argv.slice(2)
const wantedRows = Number(rowsText)
const signal = new AbortController().signal
const ranges = ids.split(',').map((id) => tableRecordRange(BigInt(id)))
const pd = await openPdClient({ endpoints: [endpoint], security: {}, log: silentLog, clock: systemClock }, signal)

let rows = 0
let bytes = 0
let began = 0
let lastAt = 0
let cpuBegan = process.cpuUsage()
const done = Promise.withResolvers<void>()

process.once('SIGUSR1', () => {
  rows = 0
  bytes = 0
  process.stdout.write('{"warm":true}\n')
})

const count = (received: number, size: number): void => {
  if (rows === 0 && bytes === 0) {
    began = performance.now()
    cpuBegan = process.cpuUsage()
  }
  rows += received
  bytes += size
  lastAt = performance.now()
}

if (mode === 'feed') {
  const feed = openEventFeed({ pd, security: {}, log: silentLog, clock: systemClock })
  for (const range of ranges) {
    feed.subscribe(range, Ts(BigInt(after)), {
      row() {
        count(1, 0)
        if (rows >= wantedRows) done.resolve()
      },
      resolved() {},
      failed: done.reject,
    })
  }
} else {
  // One stream per store, every region registered, messages counted and dropped.
  process.once('SIGUSR2', () => setTimeout(done.resolve, 300))
  const streams = new Map<bigint, ClientDuplexStream<ChangeDataRequest, Buffer>>()
  let request = 0n
  for (const range of ranges) {
    for (const region of await pd.scanRegions(range.start, range.end, 10_000, signal)) {
      const storeId = region.leader?.storeId ?? 0n
      let stream = streams.get(storeId)
      if (stream === undefined) {
        const store = await pd.store(storeId, signal)
        // As the event feed's own connections are.
        const options = { 'grpc.max_receive_message_length': 256 << 20, 'grpc-node.flow_control_window': 8 << 20 }
        const client = new Client(store?.address ?? '', credentials.createInsecure(), options)
        const metadata = new Metadata()
        metadata.set('features', 'stream-multiplexing')
        const { path, requestSerialize } = ChangeDataService.eventFeedV2
        const raw = (frame: Buffer): Buffer => frame
        stream = client.makeBidiStreamRequest(path, requestSerialize, raw, metadata, {})
        stream.on('data', (frame: Buffer) => {
          count(0, frame.length)
        })
        stream.on('error', done.reject)
        streams.set(storeId, stream)
      }
      const later = (a: Uint8Array, b: Uint8Array): Uint8Array => (Buffer.compare(a, b) > 0 ? a : b)
      const earlier = (a: Uint8Array, b: Uint8Array): Uint8Array => (a.length > 0 && Buffer.compare(a, b) < 0 ? a : b)
      stream.write(
        ChangeDataRequest.create({
          header: { clusterId: pd.clusterId, ticdcVersion: '8.5.0' },
          regionId: region.id,
          regionEpoch: { confVer: region.confVer, version: region.version },
          checkpointTs: BigInt(after),
          startKey: Buffer.from(later(region.start, range.start)),
          endKey: Buffer.from(earlier(region.end, range.end)),
          requestId: ++request,
        }),
      )
    }
  }
}

process.stdout.write('{"subscribed":true}\n')
await done.promise
const { user, system } = process.cpuUsage(cpuBegan)
const ms = lastAt - began
const rssMib = process.resourceUsage().maxRSS / 1024
process.stdout.write(`${JSON.stringify({ rows, bytes, cpuMs: (user + system) / 1000, ms, rssMib })}\n`)
process.exit(0)
