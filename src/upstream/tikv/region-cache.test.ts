import assert from 'node:assert/strict'
import { test } from 'node:test'

import { type CachedRegion, RegionCache } from './region-cache.ts'

const key = (text: string): Uint8Array => Buffer.from(text)

function region(id: bigint, start: string, end: string, version = 1n, confVer = 1n): CachedRegion {
  const peers = [1n, 2n, 3n].map((storeId) => ({ id: id * 10n + storeId, storeId }))
  const leader = peers[0] ?? { id: 0n, storeId: 0n }
  return { id, version, confVer, start: key(start), end: key(end), peers, leader }
}

function cacheOf(...regions: readonly CachedRegion[]): RegionCache {
  const cache = new RegionCache()
  for (const one of regions) cache.put(one)
  return cache
}
const found = (cache: RegionCache, ...keys: readonly string[]): readonly (bigint | undefined)[] =>
  keys.map((text) => cache.find(key(text))?.id)

test('a key is found in the region that holds it; an empty end is the end of all keys', () => {
  const cache = cacheOf(region(3n, 'p', ''), region(1n, '', 'c'), region(2n, 'f', 'p'))
  assert.deepEqual(found(cache, '', 'b', 'c', 'f', 'o', 'p', 'zz'), [1n, 1n, undefined, 2n, 2n, 3n, 3n])
})

test('after a split the new regions take the place of the old one', () => {
  const cache = cacheOf(region(1n, 'a', 'm'), region(2n, 'a', 'f', 2n), region(1n, 'f', 'm', 2n))
  assert.deepEqual(found(cache, 'a', 'f', 'l'), [2n, 1n, 1n])
})

test('after a merge the bigger region takes the place of both', () => {
  const cache = cacheOf(region(1n, 'a', 'f', 5n), region(2n, 'f', 'm', 7n), region(2n, 'a', 'm', 8n))
  assert.deepEqual(found(cache, 'a', 'g'), [2n, 2n])
})

for (const [name, stale] of [
  ['an older version of the same region', region(1n, 'a', 'z', 4n)],
  ['an older configuration of the same region', region(1n, 'a', 'm', 5n, 2n)],
  ['an older region over the same keys', region(9n, 'a', 'z', 4n)],
] as const)
  test(`${name} is ignored`, () => {
    const cache = cacheOf(region(1n, 'a', 'm', 5n, 3n), stale)
    const kept = cache.find(key('b'))
    assert.deepEqual([kept?.id, kept?.version, kept?.confVer], [1n, 5n, 3n])
    assert.equal(cache.find(key('x')), undefined)
  })

test('another leader answers from then on; one that is no peer makes us ask PD', () => {
  const one = region(1n, 'a', 'm')
  const cache = cacheOf(one)
  cache.setLeader(one, { id: 12n, storeId: 2n })
  const moved = cache.find(key('b'))
  assert.equal(moved?.leader.storeId, 2n)
  assert.ok(moved !== undefined)
  cache.setLeader(moved, { id: 99n, storeId: 9n })
  assert.equal(cache.find(key('b')), undefined)
})

test('only the record itself is dropped, not a newer one', () => {
  const [old, fresh] = [region(1n, 'a', 'm'), region(1n, 'a', 'm', 2n)]
  const cache = cacheOf(old, fresh)
  cache.drop(old)
  assert.equal(cache.find(key('b')), fresh)
  cache.drop(fresh)
  assert.equal(cache.find(key('b')), undefined)
})
