import { unreachable } from '../base/errors.ts'
import type { StorageLocation } from '../config/storage-uri.ts'
import { FileStorage } from './file-storage.ts'

/** Objects below one root, by paths with slashes. Errors: `CDC:ErrS3StorageAPI`, whatever the storage is. */
export interface ObjectStorage extends Disposable {
  /** Resolves when the whole object is durable under its name; a reader sees all of it or nothing. */
  write(path: string, chunks: readonly Uint8Array[]): Promise<void>
  /** undefined where it does not exist. */
  read(path: string): Promise<Uint8Array | undefined>
  /** Bytes; 0 where it does not exist. */
  size(path: string): Promise<number>
  /** Names of the objects right below a folder; none where it does not exist. */
  list(folder: string): Promise<readonly string[]>
  /** Makes the root where it is missing; `DFLOW:ErrFailToCreateExternalStorage` where it cannot be used. */
  check(): Promise<void>
}

/** Connects to nothing yet. */
export async function openStorage(location: StorageLocation): Promise<ObjectStorage> {
  switch (location.kind) {
    case 'file':
      return new FileStorage(location)
    case 's3': {
      // The client of S3 is large, and few need it.
      const { S3Storage } = await import('./s3-storage.ts')
      return new S3Storage(location)
    }
    default:
      return unreachable(location)
  }
}

/** For its error alone: whether the location can be used. */
export async function checkStorage(location: StorageLocation): Promise<void> {
  using storage = await openStorage(location)
  await storage.check()
}
