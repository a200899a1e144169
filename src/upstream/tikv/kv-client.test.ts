// What a read does when a region or its store refuses; a scripted store over real gRPC.
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'

import { type handleUnaryCall, Server, ServerCredentials, status } from '@grpc/grpc-js'

import { type Clock, systemClock } from '../../base/clock.ts'
import { silentLog } from '../../base/log.ts'
import type * as errorpb from '../../proto/errorpb.ts'
import { type GetRequest, GetResponse, type ScanRequest, ScanResponse } from '../../proto/kvrpcpb.ts'
import type { DeepPartial } from '../../proto/kvrpcpb.ts'
import { TikvService } from '../../proto/tikvpb.ts'
import { encodeBytes } from '../../tidb/key.ts'
import { Ts } from '../../tidb/ts.ts'
import type { PdClient, Region } from '../pd/pd.ts'
import { openKvClient } from './kv-client.ts'
import { openSnapshot } from './kv-snapshot.ts'

const hasty: Clock = {
  ...systemClock,
  monotonic: () => performance.now() * 100,
  sleep: (ms, signal) => systemClock.sleep(ms / 100, signal),
}
const TS = Ts(1000n)
const signal = AbortSignal.timeout(30_000)
const key = (text: string): Buffer => Buffer.from(text)
const bound = (text: string): Uint8Array => (text === '' ? new Uint8Array() : encodeBytes(key(text)))

function regionOf(id: bigint, start: string, end: string, version = 1n): Region {
  const peers = [1n, 2n].map((storeId) => ({ id: id * 10n + storeId, storeId }))
  return { id, confVer: 1n, version, start: bound(start), end: bound(end), peers, leader: peers[0] }
}

type Answer = DeepPartial<GetResponse> | { readonly code: status; readonly details: string }

class Fake implements AsyncDisposable {
  regions: readonly Region[] = [regionOf(1n, '', '')]
  /** One for each request; then every key has the value `v`. */
  readonly script: Answer[] = []
  readonly gets: GetRequest[] = []
  readonly scans: ScanRequest[] = []
  scan: (request: ScanRequest) => DeepPartial<ScanResponse> = () => ({})
  asked = 0
  readonly #server = new Server()
  #port = 0

  async open(): Promise<this> {
    const kvGet: handleUnaryCall<GetRequest, GetResponse> = ({ request }, done) => {
      this.gets.push(request)
      const answer = this.script.shift() ?? { value: Buffer.from('v') }
      if ('code' in answer) done(answer)
      else done(null, GetResponse.fromPartial(answer))
    }
    const kvScan: handleUnaryCall<ScanRequest, ScanResponse> = ({ request }, done) => {
      this.scans.push(request)
      done(null, ScanResponse.fromPartial(this.scan(request)))
    }
    const { kvGet: get, kvScan: scan } = TikvService
    this.#server.addService({ kvGet: get, kvScan: scan }, { kvGet, kvScan })
    this.#port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      )
    })
    return this
  }

  get pd(): PdClient {
    const contains = (region: Region, encoded: Uint8Array): boolean =>
      Buffer.compare(region.start, encoded) <= 0 && (region.end.length === 0 || Buffer.compare(encoded, region.end) < 0)
    return {
      clusterId: 42n,
      keyspace: undefined,
      endpoints: [],
      tso: async () => TS,
      scanRegions: async () => this.regions,
      region: async (encoded) => (this.asked++, this.regions.find((region) => contains(region, encoded))),
      regionById: async () => undefined,
      store: async (id) => ({
        id,
        address: `127.0.0.1:${this.#port}`,
        version: '8.5.0',
        state: 'up',
        tiflash: false,
      }),
      stores: async () => [],
      updateServiceSafePoint: async () => Ts(0n),
      txnSafePoint: async () => Ts(0n),
      sourceId: async () => 1,
      [Symbol.asyncDispose]: async () => {},
    }
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown()
  }
}

async function withStore(work: (fake: Fake, read: (text: string) => Promise<string>) => Promise<void>): Promise<void> {
  await using fake = await new Fake().open()
  const options = { security: {}, log: silentLog, clock: hasty }
  await using kv = openKvClient({ pd: fake.pd, ...options })
  const snapshot = openSnapshot(fake.pd, TS, { ...options, kv })
  await work(fake, async (text) => Buffer.from((await snapshot.get(key(text), signal)) ?? 'nothing').toString())
}

const peerOf = (fake: Fake): unknown[] => fake.gets.map(({ context }) => context?.peer?.storeId)

/** Name, what the store says, and whether PD is asked again. */
const PASSING: readonly (readonly [string, DeepPartial<errorpb.Error>, boolean])[] = [
  ['epochNotMatch without regions', { epochNotMatch: { currentRegions: [] } }, true],
  ['regionNotFound', { regionNotFound: { regionId: 1n } }, true],
  ['keyNotInRegion', { keyNotInRegion: {} }, true],
  ['storeNotMatch', { storeNotMatch: {} }, true],
  ['mismatchPeerId', { mismatchPeerId: {} }, true],
  ['RecoveryInProgress', { RecoveryInProgress: {} }, true],
  ['isWitness', { isWitness: {} }, true],
  ['notLeader without leader', { notLeader: { regionId: 1n } }, true],
  ['serverIsBusy', { serverIsBusy: { reason: 'busy' } }, false],
  ['staleCommand', { staleCommand: {} }, false],
  ['maxTimestampNotSynced', { maxTimestampNotSynced: {} }, false],
  ['readIndexNotReady', { readIndexNotReady: {} }, false],
  ['proposalInMergingMode', { proposalInMergingMode: {} }, false],
  ['diskFull', { diskFull: {} }, false],
  ['one that we do not know', { message: 'new' }, true],
]

suite('reads', { concurrency: true }, () => {
  for (const [name, regionError, asksPd] of PASSING)
    test(`${name} is tried again${asksPd ? ', with what PD says now' : ''}`, () =>
      withStore(async (fake, read) => {
        fake.script.push({ regionError })
        assert.equal(await read('a'), 'v')
        assert.equal(fake.gets.length, 2)
        assert.equal(fake.asked, asksPd ? 2 : 1)
      }))

  test('flashback is an error at once', () =>
    withStore(async (fake, read) => {
      fake.script.push({ regionError: { FlashbackInProgress: {} } })
      await assert.rejects(read('a'), { code: 'CDC:ErrUnexpected', message: /Flashback/ })
    }))

  test('the leader that a store names is asked next, without PD', () =>
    withStore(async (fake, read) => {
      fake.script.push({ regionError: { notLeader: { regionId: 1n, leader: { id: 12n, storeId: 2n } } } })
      assert.equal(await read('a'), 'v')
      assert.deepEqual([peerOf(fake), fake.asked], [[1n, 2n], 1])
    }))

  test('after a split the regions that the store names are used, unless it is behind PD', () =>
    withStore(async (fake, read) => {
      fake.regions = [regionOf(1n, '', '', 5n)]
      const current = (id: bigint, start: string, end: string, version: bigint) => ({
        id,
        startKey: Buffer.from(bound(start)),
        endKey: Buffer.from(bound(end)),
        regionEpoch: { confVer: 1n, version },
        peers: [{ id: id * 10n + 1n, storeId: 1n }],
      })
      fake.script.push({ regionError: { epochNotMatch: { currentRegions: [current(1n, '', 'z', 4n)] } } })
      assert.equal(await read('a'), 'v')
      assert.equal(fake.asked, 2)
      const split = [current(1n, '', 'm', 6n), current(2n, 'm', '', 6n)]
      fake.script.push({ regionError: { epochNotMatch: { currentRegions: split } } })
      assert.equal(await read('x'), 'v')
      assert.deepEqual([fake.gets.at(-1)?.context?.regionId, fake.asked], [2n, 2])
    }))

  test('a store that cannot be reached is left for the next peer', () =>
    withStore(async (fake, read) => {
      fake.script.push({ code: status.UNAVAILABLE, details: 'gone' })
      assert.equal(await read('a'), 'v')
      assert.deepEqual(peerOf(fake), [1n, 2n])
    }))

  test('what never gets better ends with a named error', () =>
    withStore(async (fake, read) => {
      for (let i = 0; i < 2000; i++) fake.script.push({ regionError: { regionNotFound: { regionId: 1n } } })
      await assert.rejects(read('a'), { code: 'CDC:ErrReachMaxTry', message: /region 1: regionNotFound/ })
    }))

  test('a refusal of the key itself is an error that says so', () =>
    withStore(async (fake, read) => {
      fake.script.push({ error: { abort: 'no such luck' } })
      await assert.rejects(read('a'), { code: 'CDC:ErrUnexpected', message: /no such luck/ })
    }))

  test('a region whose bounds are no encoded keys is an error that names it', () =>
    withStore(async (fake, read) => {
      fake.regions = [{ ...regionOf(7n, '', ''), end: Buffer.from('not encoded') }]
      await assert.rejects(read('a'), { code: 'CDC:ErrPDBatchLoadRegions', message: /region 7/ })
    }))

  test('a scan goes from region to region, and on within one that has more', () =>
    withStore(async (fake) => {
      fake.regions = [regionOf(1n, '', 'm'), regionOf(2n, 'm', '')]
      const all = Array.from({ length: 1500 }, (_, i) => key(`a${String(i).padStart(5, '0')}`))
      const last = [key('n1'), key('n2')]
      fake.scan = ({ context, startKey, limit }) => {
        const pairs = (context?.regionId === 1n ? all : last).filter((one) => Buffer.compare(one, startKey) >= 0)
        return { pairs: pairs.slice(0, limit).map((one) => ({ key: one, value: one })) }
      }
      const options = { security: {}, log: silentLog, clock: hasty }
      await using kv = openKvClient({ pd: fake.pd, ...options })
      const found: string[] = []
      for await (const pairs of openSnapshot(fake.pd, TS, { ...options, kv }).scan(key('a'), key('z'), signal))
        found.push(...pairs.map((pair) => Buffer.from(pair.key).toString()))
      assert.deepEqual(found, [...all, ...last].map(String))
      assert.deepEqual(
        fake.scans.map(({ endKey }) => endKey.toString()),
        ['m', 'm', 'z'],
      )
    }))
})
