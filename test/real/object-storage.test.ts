import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { canonicalStorageUri, parseStorageUri } from '../../src/config/storage-uri.ts'
import { openStorage, type ObjectStorage } from '../../src/storage/storage.ts'
import { available as motoAvailable, startMoto } from '../support/moto.ts'
import { requireOrSkip } from '../support/require.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** What holds for every storage. */
async function holds(storage: ObjectStorage): Promise<void> {
  await storage.check()
  assert.equal(await storage.read('a/b'), undefined)
  assert.equal(await storage.size('a/b'), 0)
  assert.deepEqual(await storage.list('a'), [])
  await storage.write('a/b', [bytes('one'), bytes('two')])
  assert.equal(Buffer.from((await storage.read('a/b')) ?? []).toString(), 'onetwo')
  assert.equal(await storage.size('a/b'), 6)
  await storage.write('a/b', [bytes('again')])
  assert.equal(await storage.size('a/b'), 5)
  const names = Array.from({ length: 30 }, (_, i) => `n${String(i).padStart(2, '0')} ü`)
  await Promise.all(names.map((name) => storage.write(`many/${name}`, [])))
  await storage.write('many/deeper/x', [bytes('x')])
  assert.deepEqual((await storage.list('many')).filter((name) => name !== 'deeper').toSorted(), names)
}

test('files', async (t: TestContext) => {
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-objects-'))
  t.after(() => rm(folder, { recursive: true }))
  using storage = await openStorage({ kind: 'file', path: join(folder, 'root') })
  await holds(storage)
})

test('a bucket of S3, with and without a prefix', async (t: TestContext) => {
  if (!(await requireOrSkip(t, motoAvailable))) return
  await using moto = await startMoto()
  const credentials = { accessKeyId: 'id', secretAccessKey: 'hush' }
  const client = new S3Client({ endpoint: moto.url, region: 'us-east-1', forcePathStyle: true, credentials })
  t.after(() => client.destroy())
  for (const bucket of ['plain', 'deep']) await client.send(new CreateBucketCommand({ Bucket: bucket }))
  const parameters = `endpoint=${moto.url}&access_key=id&Secret-Access-Key=hush`
  for (const place of ['plain', 'deep/a/b/']) {
    const location = parseStorageUri(`s3://${place}?${parameters}`)
    assert.equal(canonicalStorageUri(location), `s3://${place.replace(/\/$/, '')}`)
    using storage = await openStorage(location)
    await holds(storage)
  }
})

test('a bucket that is not there, or does not answer, is named; no secret is', async (t: TestContext) => {
  if (!(await requireOrSkip(t, motoAvailable))) return
  await using moto = await startMoto()
  using missing = await openStorage(
    parseStorageUri(`s3://nope?endpoint=${moto.url}&access-key=id&secret-access-key=hush`),
  )
  await assert.rejects(missing.check(), {
    code: 'DFLOW:ErrFailToCreateExternalStorage',
    message: /creating ExternalStorage for s3: bucket nope cannot be used: (?!.*hush)/,
  })
  await assert.rejects(missing.write('x', []), { code: 'CDC:ErrS3StorageAPI', message: /cannot write x: NoSuchBucket/ })
})
