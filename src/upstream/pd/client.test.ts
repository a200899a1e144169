// The PD client against what a real PD answered (tikv/vectors/pd.jsonl), and against one that fails.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'

import { Server, ServerCredentials, status, type ServerDuplexStream, type UntypedHandleCall } from '@grpc/grpc-js'

import { type Clock, systemClock } from '../../base/clock.ts'
import { CdcError } from '../../base/errors.ts'
import { silentLog } from '../../base/log.ts'
import { RangeRequest, RangeResponse } from '../../proto/etcd.ts'
import { KeyspaceService } from '../../proto/keyspacepb.ts'
import { GetMembersResponse, PDService, type TsoRequest, TsoResponse } from '../../proto/pdpb.ts'
import { maxTs, physicalMs, Ts } from '../../tidb/ts.ts'
import { openPdClient } from './client.ts'
import { hasOpenssl, makeCertificates } from '../../../test/support/certificates.ts'
import type { PdClient, SecurityOptions } from './pd.ts'

const CLUSTER = 7710268889935923767n
const folder = process.env['TIDEWIRE_EVENTFEED_DIR'] ?? join(import.meta.dirname, '..', 'tikv', 'vectors')
const hasty: Clock = {
  ...systemClock,
  monotonic: () => performance.now() * 20,
  sleep: (ms, signal) => systemClock.sleep(ms / 20, signal),
}

interface Recorded {
  readonly k: string
  readonly rpc?: string
  readonly b64?: string
}

/** Recorded answers by method and request; requests are compared without their header. */
function recordedAnswers(): Map<string, Buffer> {
  const answers = new Map<string, Buffer>()
  let asked = ''
  for (const text of readFileSync(join(folder, 'pd.jsonl'), 'utf8').split('\n')) {
    if (text === '') continue
    const line: Recorded = JSON.parse(text)
    if (line.rpc === undefined || line.b64 === undefined) continue
    const bytes = Buffer.from(line.b64, 'base64')
    if (line.k === 'req') asked = nameOf(line.rpc, bytes)
    else if (line.k === 'resp' && !answers.has(asked)) answers.set(asked, bytes)
  }
  return answers
}

function nameOf(path: string, request: Buffer): string {
  // Neither a header nor the same fields as we send, but only one such question.
  if (path.endsWith('LoadGlobalConfig')) return path
  const body = request[0] === 0x0a ? request.subarray(2 + (request[1] ?? 0)) : request
  return `${path} ${body.toString('hex')}`
}

interface FakePd extends AsyncDisposable {
  readonly url: string
  /** Answered with this status while it is set. */
  failure: { readonly code: status; readonly details: string } | undefined
  /** The answer to everything but members while it is set. */
  garbage: Buffer | undefined
  clusterId: bigint
  /** Added to the physical part of timestamps. */
  skewMs: bigint
  /** Where it says that the leader is; itself by default. */
  leaderUrl: string
  readonly tsoCounts: number[]
  /** Methods that were called, without those for members. */
  readonly asked: string[]
  /** Methods that this version does not have. */
  readonly unknown: Set<string>
  cutTso(): void
}

async function startPd(security?: SecurityOptions): Promise<FakePd> {
  const answers = recordedAnswers()
  const server = new Server()
  const streams = new Set<ServerDuplexStream<TsoRequest, TsoResponse>>()
  let logical = 0n
  const tsoCounts: number[] = []
  const asked: string[] = []
  const pd: FakePd & { url: string } = {
    url: '',
    failure: undefined,
    garbage: undefined,
    clusterId: CLUSTER,
    skewMs: 0n,
    leaderUrl: '',
    tsoCounts,
    asked,
    unknown: new Set(['BatchScanRegions']),
    cutTso: () =>
      streams.forEach((stream) => stream.emit('error', { code: status.UNAVAILABLE, details: 'not leader' })),
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  }
  const raw = { requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same }
  const range = { path: '/etcdserverpb.KV/Range', requestStream: false }
  const known = [...Object.values(PDService), KeyspaceService.loadKeyspace, range]
  const unary = known.filter((method) => !method.requestStream)
  server.addService(
    Object.fromEntries(unary.map(({ path }) => [path, { path, requestStream: false, responseStream: false, ...raw }])),
    Object.fromEntries(unary.map(({ path }) => [path, serve(path)])),
  )
  server.addService({ tso: PDService.tso }, { tso })

  function serve(path: string): UntypedHandleCall {
    return (call: { request: Buffer }, done: (error: object | null, answer?: Buffer) => void) => {
      if (path.endsWith('GetMembers')) {
        const answer = GetMembersResponse.decode(answers.get(`${path} `) ?? Buffer.alloc(0))
        if (answer.header !== undefined) answer.header.clusterId = pd.clusterId
        for (const member of [...answer.members, answer.leader])
          if (member !== undefined) member.clientUrls = [pd.leaderUrl]
        done(null, Buffer.from(GetMembersResponse.encode(answer).finish()))
        return
      }
      const name = path.replace(/^.*\//, '')
      asked.push(name)
      if (name === 'Range') {
        const key = RangeRequest.decode(call.request).key
        const kvs = key.toString().endsWith('/saved_safe_point') ? [{ key, value: Buffer.from('4711') }] : []
        done(null, Buffer.from(RangeResponse.encode(RangeResponse.fromPartial({ kvs })).finish()))
        return
      }
      if (pd.unknown.has(name)) {
        done({ code: status.UNIMPLEMENTED, details: `unknown method ${name}` })
        return
      }
      const answer = pd.garbage ?? answers.get(nameOf(path, call.request))
      if (pd.failure !== undefined) done(pd.failure)
      else if (answer === undefined) done({ code: status.INTERNAL, details: `${path} was not recorded so` })
      else done(null, answer)
    }
  }
  function tso(stream: ServerDuplexStream<TsoRequest, TsoResponse>): void {
    streams.add(stream)
    stream.on('error', () => streams.delete(stream))
    stream.on('data', ({ header, count }: TsoRequest) => {
      if (header?.clusterId !== pd.clusterId) {
        stream.emit('error', { code: status.FAILED_PRECONDITION, details: 'mismatch cluster id, need 1 but got 2' })
        return
      }
      pd.tsoCounts.push(count)
      logical += BigInt(count)
      const timestamp = { physical: 1_795_186_893_441n + pd.skewMs, logical }
      stream.write(TsoResponse.fromPartial({ header: { clusterId: pd.clusterId }, count, timestamp }))
    })
  }
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentialsOf(security), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  pd.url = pd.leaderUrl = `${security === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  return pd
}

function credentialsOf(security: SecurityOptions | undefined): ServerCredentials {
  if (security === undefined) return ServerCredentials.createInsecure()
  const read = (path = ''): Buffer => readFileSync(path)
  const pair = { cert_chain: read(security.certPath), private_key: read(security.keyPath) }
  return ServerCredentials.createSsl(read(security.caPath), [pair], true)
}

const same = (bytes: Buffer): Buffer => bytes

function open(...pds: readonly FakePd[]): Promise<PdClient> {
  const endpoints = pds.map((pd) => pd.url)
  return openPdClient({ endpoints, security: {}, log: silentLog, clock: hasty }, AbortSignal.timeout(10_000))
}

suite('PD client', { concurrency: true }, () => {
  const signal = AbortSignal.timeout(30_000)
  const key = Buffer.from('7480000000000003ff8500000000000000f8', 'hex')

  test('reads what a real PD answered', async () => {
    await using fake = await startPd()
    await using pd = await open(fake)
    assert.equal(pd.clusterId, CLUSTER)
    assert.deepEqual(pd.endpoints, [fake.url])
    const stores = await pd.stores(signal)
    assert.deepEqual(
      stores.map(({ id, state, tiflash }) => ({ id, state, tiflash })).toSorted((a, b) => Number(a.id - b.id)),
      [1n, 4n, 7n].map((id) => ({ id, state: 'up', tiflash: false })),
    )
    assert.deepEqual(await pd.store(1n, signal), {
      id: 1n,
      address: '127.0.0.1:21161',
      version: '9.0.0-beta.2',
      state: 'up',
      tiflash: false,
    })
    assert.equal(await pd.store(987654n, signal), undefined)
    const region = await pd.region(key, signal)
    assert.equal(region?.id, 22n)
    assert.deepEqual(region?.start, key)
    assert.equal(region?.peers.length, 3)
    assert.ok(region?.peers.some((peer) => peer.id === region.leader?.id))
    assert.deepEqual(await pd.regionById(22n, signal), region)
    assert.equal(await pd.regionById(99_999_999n, signal), undefined)
    const found = await pd.scanRegions(key, Buffer.alloc(0), 2, signal)
    assert.deepEqual(found[0], region)
    assert.equal(found.length, 2)
    assert.deepEqual(found[1]?.start, region?.end)
    assert.equal(await pd.sourceId(signal), 1)
    assert.equal(await pd.txnSafePoint(signal), 470597472994198630n)
  })

  test('what a PD is too old for is asked in the old way, until there is another leader', async () => {
    await using fake = await startPd()
    await using next = await startPd()
    fake.unknown.add('GetGCState')
    await using pd = await open(fake)
    for (let i = 0; i < 2; i++) {
      assert.equal((await pd.scanRegions(key, Buffer.alloc(0), 2, signal)).length, 2)
      assert.equal(await pd.txnSafePoint(signal), 4711n)
    }
    const once = ['BatchScanRegions', 'ScanRegions', 'GetGCState', 'Range']
    assert.deepEqual(fake.asked, [...once, 'ScanRegions', 'Range'])
    fake.failure = { code: status.UNAVAILABLE, details: 'not leader' }
    fake.leaderUrl = next.url
    assert.equal((await pd.region(key, signal))?.id, 22n)
    assert.equal(await pd.txnSafePoint(signal), 470597472994198630n)
  })

  test('gives the minimum safe point, and takes its own back', async () => {
    await using fake = await startPd()
    await using pd = await open(fake)
    const ask = (id: string, ttl: number, ts: bigint): Promise<Ts> => pd.updateServiceSafePoint(id, ttl, Ts(ts), signal)
    assert.equal(await ask('ticdc-default-1', 86_400, 470597472994201530n), 470597472994198630n)
    // Refused: the answer is above what was asked for.
    assert.equal(await ask('too-old', 3600, 470597446779798530n), 470597472994198630n)
    assert.equal(await ask('ticdc-creating-feed', -1, 470597472994198530n), 470597472994198630n)
    await assert.rejects(ask('never-recorded', 1, maxTs), /ErrUpdateServiceSafepointFailed/)
  })

  test('a keyspace is looked up by its name', async () => {
    await using fake = await startPd()
    const options = { endpoints: [fake.url], security: {}, log: silentLog, clock: hasty }
    await using pd = await openPdClient({ ...options, keyspace: 'DEFAULT' }, signal)
    assert.deepEqual(pd.keyspace, { id: 0, name: 'DEFAULT', prefix: Buffer.from('78000000', 'hex') })
    await assert.rejects(openPdClient({ ...options, keyspace: 'other' }, signal), { code: 'CDC:ErrLoadKeyspaceFailed' })
  })

  test('waiters for timestamps share a request, and get them in order', async () => {
    await using fake = await startPd()
    await using pd = await open(fake)
    const first = await pd.tso(signal)
    assert.equal(physicalMs(first), 1_795_186_893_441)
    const many = await Promise.all(Array.from({ length: 100 }, () => pd.tso(signal)))
    for (const [i, ts] of many.entries()) assert.equal(ts, first + BigInt(i) + 1n)
    assert.ok(fake.tsoCounts.length <= 3)
  })

  test('a broken timestamp stream is made anew', async () => {
    await using fake = await startPd()
    await using pd = await open(fake)
    const before = await pd.tso(signal)
    fake.cutTso()
    assert.ok((await pd.tso(signal)) > before)
  })

  test('under load timestamps stay unique and in order, though the leader moves to and fro', async () => {
    await using first = await startPd()
    await using second = await startPd()
    second.leaderUrl = first.url
    await using pd = await open(first, second)
    // What the second hands out is later: as a new leader's are.
    second.skewMs = 10_000n
    const taken: Ts[] = []
    const asking = Array.from({ length: 50 }, async () => {
      let last = 0n
      for (let i = 0; i < 40; i++) {
        const ts = await pd.tso(signal)
        assert.ok(ts > last)
        last = ts
        taken.push(ts)
        if (taken.length === 700) {
          first.leaderUrl = second.leaderUrl = second.url
          first.cutTso()
        }
        if (taken.length % 500 === 0) second.cutTso()
      }
    })
    await Promise.all(asking)
    assert.equal(new Set(taken).size, 2000)
    assert.ok(first.tsoCounts.length > 0 && second.tsoCounts.length > 0)
  })

  test('timestamps that go back are an error at once', async () => {
    await using fake = await startPd()
    await using pd = await open(fake)
    await pd.tso(signal)
    fake.skewMs = -10n
    await assert.rejects(pd.tso(signal), (error) => error instanceof CdcError && /handed out/.test(error.message))
  })

  test('a waiter that is aborted rejects with its reason, and the others get theirs', async () => {
    await using fake = await startPd()
    await using pd = await open(fake)
    await pd.tso(signal)
    const abort = new AbortController()
    const aborted = pd.tso(abort.signal)
    const other = pd.tso(signal)
    abort.abort(new Error('enough'))
    await assert.rejects(aborted, /enough/)
    assert.ok((await other) > 0n)
  })

  test('the leader is followed when it moves', async () => {
    await using first = await startPd()
    await using second = await startPd()
    await using pd = await open(first)
    first.failure = { code: status.UNAVAILABLE, details: 'not leader' }
    first.leaderUrl = second.url
    assert.equal((await pd.region(key, signal))?.id, 22n)
    assert.deepEqual(pd.endpoints, [second.url])
  })

  test('the first member may be away', async () => {
    const gone = await startPd()
    await gone[Symbol.asyncDispose]()
    await using fake = await startPd()
    await using pd = await open(gone, fake)
    assert.equal(pd.clusterId, CLUSTER)
  })

  test('a call to a PD that stays away ends with a named error', async () => {
    await using fake = await startPd()
    await using pd = await open(fake)
    fake.failure = { code: status.UNAVAILABLE, details: 'no leader' }
    await assert.rejects(pd.stores(AbortSignal.timeout(20_000)), (error) => {
      assert.ok(error instanceof CdcError)
      return error.code === 'CDC:ErrGetAllStoresFailed'
    })
  })

  test('nobody at home is an error that names the addresses', async () => {
    const options = { endpoints: ['127.0.0.1:1'], security: {}, log: silentLog, clock: hasty, connectTimeoutMs: 500 }
    await assert.rejects(openPdClient(options, signal), (error) => {
      assert.ok(error instanceof CdcError)
      assert.match(error.message, /127\.0\.0\.1:1/)
      return error.code === 'CDC:ErrAPIGetPDClientFailed'
    })
  })

  test(
    'a PD that shows another certificate is an error that says so',
    { skip: !hasOpenssl && 'no openssl' },
    async () => {
      const folders = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'tidewire-pd-tls-')))
      try {
        const [security, foreign] = folders.map((folder) => makeCertificates(folder))
        assert.ok(security !== undefined && foreign !== undefined)
        await using fake = await startPd(security)
        const openWith = (files: SecurityOptions): Promise<PdClient> =>
          openPdClient(
            { endpoints: [fake.url], security: files, log: silentLog, clock: hasty, connectTimeoutMs: 500 },
            signal,
          )
        await using pd = await openWith(security)
        assert.ok((await pd.tso(signal)) > 0n)
        const failed = { code: 'CDC:ErrAPIGetPDClientFailed' }
        await assert.rejects(openWith(foreign), { ...failed, message: /certificate/ })
        await assert.rejects(openWith({ caPath: security.caPath }), failed)
      } finally {
        for (const folder of folders) rmSync(folder, { recursive: true })
      }
    },
  )

  test('garbage for an answer is an error of that call', async () => {
    await using fake = await startPd()
    await using pd = await open(fake)
    fake.garbage = Buffer.from('0a7f01', 'hex')
    await assert.rejects(pd.stores(AbortSignal.timeout(20_000)), { code: 'CDC:ErrGetAllStoresFailed' })
    fake.garbage = undefined
    assert.equal((await pd.stores(signal)).length, 3)
  })

  test('another cluster behind the same address is an error, not a retry', async () => {
    await using fake = await startPd()
    await using pd = await open(fake)
    fake.clusterId = 4242n
    fake.failure = { code: status.FAILED_PRECONDITION, details: `mismatch cluster id, need 4242 but got ${CLUSTER}` }
    await assert.rejects(pd.stores(signal), /ErrClusterIDMismatch/)
    await assert.rejects(pd.tso(signal), /ErrClusterIDMismatch/)
  })
})
