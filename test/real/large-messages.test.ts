// Rows that do not fit into a message, over a real broker: storage that goes away and comes back, rows that stay too large.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { CreateBucketCommand, GetObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { decodeCanalJson } from '../../src/codec/canal-json/decode.ts'
import { decompressValue } from '../../src/codec/compress/compress.ts'
import { decodeStoredMessage } from '../../src/codec/large-message.ts'
import { available as pythonAvailable, consumeAll } from '../support/consumer.ts'
import { available as kafkaAvailable, startKafka } from '../support/kafka.ts'
import { available as motoAvailable, startMoto } from '../support/moto.ts'
import { waitFor } from '../support/process.ts'
import { createRandom } from '../support/random.ts'
import { requireOrSkip } from '../support/require.ts'
import {
  caughtUp,
  changefeed,
  cli,
  clusterTs,
  startPlayground,
  startServer,
  type ServerProcess,
} from '../support/stack.ts'
import { openWorkload } from '../support/workload.ts'

async function configFile(t: TestContext, handling: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-large-'))
  t.after(() => rm(folder, { recursive: true }))
  const path = join(folder, 'changefeed.toml')
  await writeFile(path, `[sink.kafka-config.large-message-handle]\n${handling}\n`)
  return path
}

const create = (server: ServerProcess, uri: string, config: string): Promise<string> =>
  cli(server, 'changefeed', 'create', '--sink-uri', uri, '--changefeed-id', 'large', '--config', config, '--no-confirm')

const bytesOf = (text: string | null): Buffer => Buffer.from(text ?? '', 'base64')

test('storage that is away stops nothing for good: each stored row is there when its message is', async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable, motoAvailable))) return
  await using kafka = await startKafka()
  await using playground = await startPlayground()
  await using server = await startServer({ pd: playground.pd })
  let moto = await startMoto()
  const port = Number(new URL(moto.url).port)
  const clients: S3Client[] = []
  const bucket = async (): Promise<S3Client> => {
    const credentials = { accessKeyId: 'id', secretAccessKey: 'hush' }
    const s3 = new S3Client({ endpoint: moto.url, region: 'us-east-1', forcePathStyle: true, credentials })
    clients.push(s3)
    await s3.send(new CreateBucketCommand({ Bucket: 'claims' }))
    return s3
  }
  try {
    await bucket()
    const storage = `s3://claims?endpoint=${moto.url}&access-key=id&secret-access-key=hush`
    const config = await configFile(
      t,
      `large-message-handle-option = "claim-check"\nlarge-message-handle-compression = "lz4"\nclaim-check-storage-uri = "${storage}"`,
    )
    const random = createRandom(7)
    await using workload = await openWorkload({ sql: playground.sql, database: 'shop', random, ddl: false, writers: 2 })
    const uri = `kafka://${kafka.bootstrap}/large?protocol=canal-json&enable-tidb-extension=true&partition-num=2&max-message-bytes=480`
    await create(server, uri, config)
    await workload.run(32)
    await caughtUp(server, 'large', await clusterTs(server, playground.pd))
    await moto[Symbol.asyncDispose]()
    await workload.run(64)
    await waitFor(
      'the changefeed to say what is wrong',
      async () => {
        const { state, error } = await changefeed(server, 'large')
        if (state !== 'warning') return false
        assert.equal(error?.code, 'CDC:ErrS3StorageAPI')
        assert.ok(!JSON.stringify(error).includes('hush'))
        return true
      },
      90_000,
    )
    moto = await startMoto(port)
    const s3 = await bucket()
    await caughtUp(server, 'large', await clusterTs(server, playground.pd), 120_000)
    let claimed = 0
    let lost = 0
    const seen = new Set<string>()
    for (const { value } of await consumeAll(kafka.bootstrap, ['large'])) {
      const [event] = decodeCanalJson(decompressValue('lz4', bytesOf(value)))
      if (event?.kind !== 'row') continue
      if (event.claimCheckLocation === undefined) {
        seen.add(`${event.table}/${String(event.after?.get('v'))}`)
        continue
      }
      const Key = basename(event.claimCheckLocation)
      const found = await s3.send(new GetObjectCommand({ Bucket: 'claims', Key })).catch(() => undefined)
      if (found === undefined) {
        // The first server took what it had with it.
        lost++
        continue
      }
      claimed++
      const stored = decodeStoredMessage((await found.Body?.transformToByteArray()) ?? new Uint8Array())
      const [whole] = decodeCanalJson(decompressValue('lz4', stored.value))
      assert.ok(whole?.kind === 'row')
      assert.deepEqual([whole.table, whole.commitTs], [event.table, event.commitTs])
      seen.add(`${whole.table}/${String(whole.after?.get('v'))}`)
    }
    t.diagnostic(`${claimed} rows in storage, ${lost} in the one that is gone, ${seen.size} versions read`)
    assert.ok(claimed > 0)
    const missing = workload.versions.filter(({ row, table }) => row !== undefined && !seen.has(`${table}/${row['v']}`))
    assert.ok(missing.length <= lost, `${missing.length} versions are missing`)
  } finally {
    for (const client of clients) client.destroy()
    await moto[Symbol.asyncDispose]()
  }
})

test('a row that is still too large is an error that names it, until the configuration allows it', async (t) => {
  if (!(await requireOrSkip(t, kafkaAvailable, pythonAvailable))) return
  await using kafka = await startKafka()
  await using playground = await startPlayground()
  await using server = await startServer({ pd: playground.pd })
  const random = createRandom(8)
  await using workload = await openWorkload({ sql: playground.sql, database: 'shop', random, ddl: false, writers: 1 })
  const uri = (bytes: number): string =>
    `kafka://${kafka.bootstrap}/large?protocol=open-protocol&partition-num=1&max-message-bytes=${bytes}`
  await create(server, uri(140), await configFile(t, 'large-message-handle-option = "handle-key-only"'))
  await workload.run(16)
  await waitFor('the error', async () => {
    const { error } = await changefeed(server, 'large')
    if (error === undefined || error === null) return false
    assert.equal(error.code, 'CDC:ErrMessageTooLarge')
    assert.match(error.message, /message is too large\. table:shop\.\w+, length:\d+, maxMessageBytes:140/)
    return true
  })
  await cli(server, 'changefeed', 'pause', '--changefeed-id', 'large')
  await cli(server, 'changefeed', 'update', '--changefeed-id', 'large', '--sink-uri', uri(4096), '--no-confirm')
  await cli(server, 'changefeed', 'resume', '--changefeed-id', 'large', '--no-confirm')
  await caughtUp(server, 'large', await clusterTs(server, playground.pd))
  assert.ok((await consumeAll(kafka.bootstrap, ['large'])).length > 0)
})
