import fs from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { CdcError } from '../base/errors.ts'
import type { DiskQuota } from './disk-quota.ts'

/** Blocks that one holder wrote, in its order; its to release. */
export interface Segment {
  /** On disk. */
  readonly bytes: number
  readonly blocks: number
  /**
   * A block, in a buffer of its own with nothing before it in its ArrayBuffer. Rejects with `CDC:ErrRunFileCorrupted` where
   * the bytes are not those that were written, with `CDC:ErrRunFileIO` where they cannot be read.
   */
  readBlock(index: number, signal: AbortSignal): Promise<Buffer>
  /** Once, or again without effect; the file goes with its last segment. */
  release(): void
}

/** Files that stay open for the next read. */
const OPEN_FILES = 64

/**
 * Run files of one worker and changefeed: each holds the segments of many holders, written at once and read in any order.
 * They are only good for the life of this process, so nothing is synced.
 */
export class RunFiles implements Disposable {
  readonly #directory: string
  readonly #disk: DiskQuota
  readonly #files = new Set<RunFile>()
  /** Least recently read first. */
  readonly #open = new Set<RunFile>()
  #number = 0
  /** Ever written. */
  writtenBytes = 0

  /** The directory is this object's alone: made with the first file, removed when disposed. */
  constructor(directory: string, disk: DiskQuota) {
    this.#directory = directory
    this.#disk = disk
  }

  /** On disk. */
  get bytes(): number {
    let bytes = 0
    for (const file of this.#files) bytes += file.bytes
    return bytes
  }

  get halfFull(): boolean {
    return this.#disk.halfFull
  }

  /**
   * Writes one file with a segment per element, and returns when it is written; a block is used before the next is taken.
   * Throws `CDC:ErrDiskFull` (no space, or the limit) or `CDC:ErrRunFileIO`; then nothing of it stays on disk.
   */
  write(contents: Iterable<Iterable<Buffer>>): Segment[] {
    const file = new RunFile(join(this.#directory, `${++this.#number}.run`), this.#disk)
    try {
      fs.mkdirSync(this.#directory, { recursive: true })
      file.create()
      const segments = Array.from(contents, (blocks) => this.#writeSegment(file, blocks))
      if (segments.length === 0) file.remove()
      else this.#files.add(file)
      this.writtenBytes += file.bytes
      this.#opened(file)
      return segments
    } catch (cause) {
      file.remove()
      throw failure(cause, 'writing', file.path)
    }
  }

  [Symbol.dispose](): void {
    for (const file of this.#files) file.remove()
    this.#files.clear()
    this.#open.clear()
    fs.rmSync(this.#directory, { recursive: true, force: true })
  }

  #writeSegment(file: RunFile, contents: Iterable<Buffer>): Segment {
    const blocks: Block[] = []
    const start = file.bytes
    for (const bytes of contents) {
      blocks.push({ at: file.bytes, length: bytes.length, checksum: crc32(bytes) })
      file.append(bytes)
    }
    file.segments++
    let released = false
    return {
      bytes: file.bytes - start,
      blocks: blocks.length,
      readBlock: async (index, signal) => {
        signal.throwIfAborted()
        const block = blocks[index]
        if (block === undefined || released) throw new RangeError(`block ${index} of ${blocks.length} is not there`)
        return await this.#read(file, block)
      },
      release: () => {
        if (released) return
        released = true
        if (--file.segments > 0 || !this.#files.delete(file)) return
        this.#open.delete(file)
        file.remove()
      },
    }
  }

  async #read(file: RunFile, { at, length, checksum }: Block): Promise<Buffer> {
    let bytes: Buffer
    try {
      bytes = await file.read(at, length)
    } catch (cause) {
      throw failure(cause, 'reading', file.path)
    }
    this.#opened(file)
    if (crc32(bytes) === checksum) return bytes
    throw new CdcError('CDC:ErrRunFileCorrupted', `${file.path} is damaged: block at ${at} of ${length} bytes`)
  }

  /** Keeps the number of open files down. */
  #opened(file: RunFile): void {
    this.#open.delete(file)
    if (!this.#files.has(file)) return
    this.#open.add(file)
    if (this.#open.size <= OPEN_FILES) return
    for (const oldest of this.#open) {
      this.#open.delete(oldest)
      oldest.close()
      return
    }
  }
}

interface Block {
  readonly at: number
  readonly length: number
  readonly checksum: number
}

class RunFile {
  readonly path: string
  readonly #disk: DiskQuota
  bytes = 0
  /** Not yet released. */
  segments = 0
  #fd: number | undefined
  #reads = 0
  #closing = false

  constructor(path: string, disk: DiskQuota) {
    this.path = path
    this.#disk = disk
  }

  create(): void {
    this.#fd = fs.openSync(this.path, 'wx+', 0o600)
  }

  append(block: Buffer): void {
    if (this.#fd === undefined) throw new TypeError(`${this.path} is not open`)
    if (!this.#disk.take(block.length)) {
      const text = `run files would need more than their ${this.#disk.limitBytes} bytes of disk`
      throw new CdcError('CDC:ErrDiskFull', text)
    }
    this.bytes += block.length
    for (let at = 0; at < block.length;)
      at += fs.writeSync(this.#fd, block, at, Math.min(block.length - at, WRITE_BYTES))
  }

  async read(at: number, length: number): Promise<Buffer> {
    this.#closing = false
    this.#fd ??= fs.openSync(this.path, 'r')
    this.#reads++
    try {
      const bytes = Buffer.allocUnsafeSlow(length)
      for (let got = 0; got < length;) {
        const count = await readSome(this.#fd, bytes, got, at + got)
        if (count === 0) throw new CdcError('CDC:ErrRunFileCorrupted', `${this.path} ends before byte ${at + length}`)
        got += count
      }
      return bytes
    } finally {
      this.#reads--
      if (this.#closing) this.close()
    }
  }

  /** At once, or when the reads under way are done. */
  close(): void {
    this.#closing = this.#reads > 0
    if (this.#closing || this.#fd === undefined) return
    fs.closeSync(this.#fd)
    this.#fd = undefined
  }

  remove(): void {
    this.close()
    fs.rmSync(this.path, { force: true })
    this.#disk.giveBack(this.bytes)
    this.bytes = 0
  }
}

/** Most bytes of one write. */
const WRITE_BYTES = 1 << 20

const readSome = (fd: number, into: Buffer, from: number, position: number): Promise<number> =>
  new Promise((resolve, reject) => {
    fs.read(fd, into, from, into.length - from, position, (error, count) =>
      error === null ? resolve(count) : reject(error),
    )
  })

function failure(cause: unknown, doing: string, path: string): unknown {
  if (cause instanceof CdcError || !(cause instanceof Error) || !('code' in cause)) return cause
  const full = cause.code === 'ENOSPC' || cause.code === 'EDQUOT'
  const code = full ? 'CDC:ErrDiskFull' : 'CDC:ErrRunFileIO'
  return new CdcError(code, `${doing} run file ${path}: ${cause.message}`, { cause })
}
