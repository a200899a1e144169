import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type FakeRegistry, startFakeRegistry } from '../../test/support/fake-registry.ts'
import { hasCommand } from '../../test/support/process.ts'
import { requireOrSkip } from '../../test/support/require.ts'
import { systemClock } from '../base/clock.ts'
import type { ConfluentSettings } from '../config/sink-settings.ts'
import { openSchemaRegistry } from './open-registry.ts'

const signal = new AbortController().signal
const noFiles = { ca: undefined, cert: undefined, key: undefined }
const hurried = { ...systemClock, sleep: (_ms: number, stop: AbortSignal) => systemClock.sleep(1, stop) }

function open({ url }: { readonly url: string }, changes: Partial<ConfluentSettings> = {}) {
  const troubles: Error[] = []
  const settings: ConfluentSettings = { kind: 'confluent', url, ...noFiles, ...changes }
  const registry = openSchemaRegistry(settings, { clock: hurried, onTrouble: (error) => troubles.push(error) })
  return { registry, troubles }
}

const posts = (fake: FakeRegistry): number => fake.requests.filter(({ line }) => line.startsWith('POST')).length

test('a schema is registered once, as the reference says, and found again by its id', async () => {
  await using fake = await startFakeRegistry()
  const { registry } = open(fake)
  const [header, again, ...at] = await Promise.all([
    registry.register('a b-value', '"int"', signal),
    registry.register('a b-value', '"int"', signal),
    registry.register('other-value', '"string"', signal),
  ])
  assert.deepEqual([Buffer.from(header).toString('hex'), again], ['0000000001', header])
  assert.equal(Buffer.from(at[0] ?? []).toString('hex'), '0000000002')
  await registry.register('a b-value', '"int"', signal)
  assert.equal(posts(fake), 2)
  const [first] = fake.requests
  assert.deepEqual([first?.line, first?.body], ['POST /subjects/a%20b-value/versions', '{"schema":"\\"int\\""}'])
  assert.equal(first?.headers['content-type'], 'application/vnd.schemaregistry.v1+json')
  assert.equal(first?.headers.authorization, undefined)
  assert.equal(await registry.schema(2, signal), '"string"')
  await assert.rejects(registry.schema(7, signal), { code: 'CDC:ErrAvroSchemaAPIError', message: /schema 7.*404/ })
})

test('a refusal names subject, status and body, is not tried again, and is forgotten', async () => {
  await using fake = await startFakeRegistry()
  const { registry, troubles } = open(fake)
  fake.answer([409, '{"error_code":409,"message":"incompatible"}'], [422, 'bad'], [200, '{"id":0}'])
  for (const pattern of [/subject t-value: .* refused the schema with 409: .*incompatible/, /422: bad/, /usable id/])
    await assert.rejects(registry.register('t-value', '"int"', signal), {
      code: 'CDC:ErrAvroSchemaAPIError',
      message: pattern,
    })
  assert.equal(posts(fake), 3)
  assert.equal(troubles.length, 0)
  assert.equal((await registry.register('t-value', '"int"', signal)).length, 5)
})

test('a registry that is down is waited for, and its errors are tried again', async () => {
  const { port } = await (async () => {
    await using fake = await startFakeRegistry()
    return fake
  })()
  const url = `http://127.0.0.1:${port}`
  const { registry, troubles } = open({ url })
  const registered = registry.register('t-value', '"int"', signal)
  while (troubles.length < 3) await new Promise((resolve) => setImmediate(resolve))
  await using fake = await startFakeRegistry({ port })
  fake.answer([500, 'boom'], [503, ''], [429, 'slower'])
  assert.equal((await registered).length, 5)
  assert.match(troubles[0]?.message ?? '', /ErrAvroSchemaAPIError.*subject t-value at http:.*ECONNREFUSED/)
  assert.ok(troubles.some(({ message }) => /status 500: boom/.test(message)))
})

test('waiting ends with the signal', async () => {
  const { registry } = open({ url: 'http://127.0.0.1:1' })
  const stop = new AbortController()
  const waiting = registry.register('t-value', '"int"', stop.signal)
  stop.abort()
  await assert.rejects(waiting, { name: 'AbortError' })
})

test('user and password of the URL are sent, and never shown', async () => {
  await using fake = await startFakeRegistry({ credentials: 'ann:s#cret' })
  const url = `http://ann:s%23cret@127.0.0.1:${fake.port}`
  const { registry } = open({ url })
  await registry.check(signal)
  await registry.register('t-value', '"int"', signal)
  const wrong = open({ url: `http://ann:guess@127.0.0.1:${fake.port}` })
  for (const refused of [wrong.registry.check(signal), wrong.registry.register('t-value', '"int"', signal)])
    await assert.rejects(refused, (error: Error) => {
      assert.match(error.message, /401.*Unauthorized/)
      assert.doesNotMatch(error.message, /guess|ann/)
      return true
    })
})

test('a check takes the two bytes of the reference and the list of other registries, nothing else', async () => {
  for (const [root, list, good] of [
    ['{}', undefined, true],
    ['<html>', undefined, true],
    ['<html>', '<html>', false],
  ] as const) {
    await using fake = await startFakeRegistry({ root })
    if (list !== undefined) fake.answer([200, root], [200, list])
    const checked = open(fake).registry.check(signal)
    if (good) await checked
    else await assert.rejects(checked, { message: /no schema registry answers at http:.*<html>/ })
  }
  await assert.rejects(open({ url: 'http://127.0.0.1:1' }).registry.check(signal), /ECONNREFUSED/)
})

test('over TLS the own authority is trusted beside the system’s', async (t) => {
  if (!(await requireOrSkip(t, async () => hasCommand('openssl', 'version') || 'openssl is missing'))) return
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-registry-'))
  try {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert]
    execFileSync('openssl', [...request, ...subject], { stdio: 'ignore' })
    const tls = { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') }
    await using fake = await startFakeRegistry({ tls })
    await using trusting = open(fake, { ca: cert }).registry
    await trusting.check(signal)
    await using strange = open(fake).registry
    await assert.rejects(strange.check(signal), { message: /self-signed certificate/ })
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('the newest schemas of a subject are remembered, older ones asked for again', async () => {
  await using fake = await startFakeRegistry()
  const { registry } = open(fake)
  for (let i = 0; i < 9; i++) await registry.register('t-value', `"${i}"`, signal)
  await registry.register('t-value', '"8"', signal)
  assert.equal(posts(fake), 9)
  await registry.register('t-value', '"0"', signal)
  assert.equal(posts(fake), 10)
})
