import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { access, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CdcError } from '../base/errors.ts'
import type { FileLocation } from '../config/storage-uri.ts'
import type { ObjectStorage } from './storage.ts'

/** Files below one root on the local file system, or on one that is mounted there. */
export class FileStorage implements ObjectStorage {
  readonly #root: string

  constructor(location: FileLocation) {
    this.#root = location.path
  }

  async write(path: string, chunks: readonly Uint8Array[]): Promise<void> {
    const target = join(this.#root, path)
    const temporary = `${target}.tmp.${randomUUID()}`
    try {
      await mkdir(dirname(target), { recursive: true })
      try {
        await writeDurably(temporary, chunks)
        await rename(temporary, target)
      } catch (error) {
        await rm(temporary, { force: true })
        throw error
      }
      await syncFolder(dirname(target))
    } catch (cause) {
      throw storageError(`write ${path}`, cause)
    }
  }

  async read(path: string): Promise<Uint8Array | undefined> {
    return orAbsent(`read ${path}`, readFile(join(this.#root, path)))
  }

  async size(path: string): Promise<number> {
    return (await orAbsent(`find ${path}`, stat(join(this.#root, path))))?.size ?? 0
  }

  async list(path: string): Promise<readonly string[]> {
    return (await orAbsent(`list ${path}`, readdir(join(this.#root, path)))) ?? []
  }

  async check(): Promise<void> {
    try {
      await mkdir(this.#root, { recursive: true })
      await access(this.#root, constants.R_OK | constants.W_OK)
    } catch (cause) {
      throw new CdcError('DFLOW:ErrFailToCreateExternalStorage', `creating ExternalStorage for ${this.#root}`, {
        cause,
      })
    }
  }

  [Symbol.dispose](): void {}
}

async function writeDurably(path: string, chunks: readonly Uint8Array[]): Promise<void> {
  const file = await open(path, 'w', 0o644)
  try {
    for (let at = 0; at < chunks.length; at += WRITEV_CHUNKS) await writeAll(file, chunks.slice(at, at + WRITEV_CHUNKS))
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Below the limit of the system call. */
const WRITEV_CHUNKS = 1000

async function writeAll(file: Awaited<ReturnType<typeof open>>, chunks: readonly Uint8Array[]): Promise<void> {
  const bytes = Buffer.concat(chunks)
  for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at)).bytesWritten
}

/** Makes a rename survive a power cut. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

async function orAbsent<T>(doing: string, work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw storageError(doing, cause)
  }
}

const storageError = (doing: string, cause: unknown): CdcError =>
  new CdcError('CDC:ErrS3StorageAPI', `external storage api: cannot ${doing}`, { cause })
