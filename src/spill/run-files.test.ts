import assert from 'node:assert/strict'
import fs, { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createDiskMemory, openDiskQuota } from './disk-quota.ts'
import { createQuotaMemory, openQuota } from './quota.ts'
import { openRunDirectory, removeRuns } from './run-directory.ts'
import { RunFiles, type Segment } from './run-files.ts'
import { type Holder, Spiller } from './spiller.ts'

const { signal } = new AbortController()

function open(limitBytes = 1 << 30) {
  const directory = mkdtempSync(join(tmpdir(), 'runs-'))
  const disk = openDiskQuota(createDiskMemory(limitBytes))
  const files = new RunFiles(join(directory, 'a'), disk)
  return {
    directory: join(directory, 'a'),
    disk,
    files,
    [Symbol.dispose]() {
      files[Symbol.dispose]()
      rmSync(directory, { recursive: true })
    },
  }
}

const blocks = (...texts: string[]): Buffer[] => texts.map((text) => Buffer.from(text))

test('a file holds the segments of many holders, and goes with the last of them', async () => {
  using at = open()
  const [a, b] = at.files.write([blocks('one', 'two'), blocks('three')])
  assert.ok(a !== undefined && b !== undefined)
  assert.equal(String(await a.readBlock(1, signal)), 'two')
  assert.equal(String(await b.readBlock(0, signal)), 'three')
  assert.deepEqual([a.blocks, a.bytes, b.bytes, at.files.bytes, at.disk.usedBytes], [2, 6, 5, 11, 11])
  a.release()
  a.release()
  assert.equal(readdirSync(at.directory).length, 1)
  b.release()
  assert.deepEqual(readdirSync(at.directory), [])
  assert.equal(at.disk.usedBytes, 0)
})

test('a damaged block is a named error, never wrong data', async () => {
  using at = open()
  const [segment] = at.files.write([blocks('0123456789', 'intact')])
  const path = join(at.directory, readdirSync(at.directory)[0] ?? '')
  const bytes = readFileSync(path)
  bytes[3] = (bytes[3] ?? 0) ^ 1
  writeFileSync(path, bytes)
  await assert.rejects(async () => await segment?.readBlock(0, signal), { code: 'CDC:ErrRunFileCorrupted' })
  assert.equal(String(await segment?.readBlock(1, signal)), 'intact')
  writeFileSync(path, bytes.subarray(0, 12))
  await assert.rejects(async () => await segment?.readBlock(1, signal), { code: 'CDC:ErrRunFileCorrupted' })
})

test('many files need few open ones', async () => {
  using at = open()
  const segments = Array.from({ length: 200 }, (_, n) => at.files.write([blocks(`number ${n}`)])[0])
  const read = await Promise.all(segments.map(async (segment) => await segment?.readBlock(0, signal)))
  assert.deepEqual(
    read.map(String),
    segments.map((_, n) => `number ${n}`),
  )
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return ''
    }
  })
  assert.ok(links.filter((link) => link.startsWith(at.directory)).length <= 64)
})

test('beyond the limit, or on a full disk, nothing of the file stays', (t) => {
  using at = open(10)
  assert.throws(() => at.files.write([blocks('12345', '678901')]), { code: 'CDC:ErrDiskFull' })
  assert.deepEqual([readdirSync(at.directory), at.disk.usedBytes, at.files.bytes], [[], 0, 0])
  const full = t.mock.method(fs, 'writeSync', () => {
    throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  })
  assert.throws(() => at.files.write([blocks('1')]), { code: 'CDC:ErrDiskFull' })
  assert.deepEqual([readdirSync(at.directory), at.disk.usedBytes], [[], 0])
  full.mock.restore()
  assert.equal(at.files.write([blocks('1')]).length, 1)
})

test('folders of processes that are gone are removed at the start, those of live ones are not', () => {
  const root = mkdtempSync(join(tmpdir(), 'runs-'))
  for (const name of ['99999999', 'stray', String(process.ppid)]) mkdirSync(join(root, name))
  {
    using directory = openRunDirectory(root)
    assert.deepEqual(readdirSync(root).toSorted(), [String(process.pid), String(process.ppid)].toSorted())
    const disk = openDiskQuota(createDiskMemory(1000))
    const files = new RunFiles(join(directory.path, '3', '1'), disk)
    files.write([blocks('left by a worker that died')])
    removeRuns(join(directory.path, '3'), disk)
    assert.equal(disk.usedBytes, 0)
    assert.ok(!existsSync(join(directory.path, '3')))
  }
  assert.deepEqual(readdirSync(root), [String(process.ppid)])
  rmSync(root, { recursive: true })
})

/** Memory without content. */
class Block implements Holder {
  bytes: number
  segment: Segment | undefined
  readonly #free: (bytes: number) => void

  constructor(bytes: number, free: (bytes: number) => void) {
    this.bytes = bytes
    this.#free = free
  }

  *blocks() {
    yield Buffer.alloc(this.bytes)
  }

  spilled(segment: Segment): void {
    this.#free(this.bytes)
    this.segment = segment
    this.bytes = 0
  }
}

test('above its share of the quota the largest holders spill, into one file', () => {
  using at = open()
  const quota = openQuota(createQuotaMemory(1000))
  const spiller = new Spiller(quota, at.files)
  const holders = [10, 300, 50, 240].map((bytes) => new Block(bytes, (freed) => quota.addBefore(-freed)))
  for (const holder of holders) spiller.add(holder)
  quota.addBefore(600)
  spiller.relieve()
  assert.equal(at.files.bytes, 0)
  quota.addBefore(10)
  spiller.relieve()
  assert.deepEqual(
    holders.map(({ segment }) => segment?.bytes),
    [undefined, 300, undefined, undefined],
  )
  quota.addBefore(450)
  spiller.relieve()
  assert.deepEqual(
    holders.map(({ segment }) => segment?.bytes),
    [10, 300, 50, 240],
  )
  assert.equal(readdirSync(at.directory).length, 2)
})

test('a worker that holds little leaves the spilling to the others, until it is urgent', () => {
  using at = open()
  const quota = openQuota(createQuotaMemory(1000))
  const spiller = new Spiller(quota, at.files)
  const holder = new Block(20, (freed) => quota.addBefore(-freed))
  spiller.add(holder)
  quota.addBefore(700)
  spiller.relieve()
  assert.ok(at.files.bytes === 0)
  quota.addBefore(150)
  spiller.relieve()
  assert.equal(holder.segment?.bytes, 20)
})
