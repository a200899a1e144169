import {
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type ObjectCannedACL,
  type ServerSideEncryption,
  type StorageClass,
} from '@aws-sdk/client-s3'
import { CdcError } from '../base/errors.ts'
import type { S3Location } from '../config/storage-uri.ts'
import type { ObjectStorage } from './storage.ts'

/** Of one request, as TiCDC's. */
const ATTEMPTS = 7
const TIMEOUT_MS = 5 * 60_000

/** Objects of a bucket, below a prefix; an object is put in one request. */
export class S3Storage implements ObjectStorage {
  readonly #location: S3Location
  readonly #client: S3Client

  constructor(location: S3Location) {
    this.#location = location
    const { credentials, endpoint, region } = location
    this.#client = new S3Client({
      region: region ?? 'us-east-1',
      forcePathStyle: location.forcePathStyle,
      useAccelerateEndpoint: location.accelerate,
      maxAttempts: ATTEMPTS,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(credentials === undefined
        ? {}
        : {
            credentials: {
              accessKeyId: credentials.accessKey,
              secretAccessKey: credentials.secretAccessKey,
              ...(credentials.sessionToken === undefined ? {} : { sessionToken: credentials.sessionToken }),
            },
          }),
    })
  }

  async write(path: string, chunks: readonly Uint8Array[]): Promise<void> {
    const { storageClass, acl, sse, sseKmsKeyId } = this.#location
    const put = new PutObjectCommand({
      ...this.#object(path),
      Body: Buffer.concat(chunks),
      // Names that AWS adds must not need a new version of ours.
      ...(storageClass === undefined ? {} : { StorageClass: storageClass as StorageClass }),
      ...(acl === undefined ? {} : { ACL: acl as ObjectCannedACL }),
      ...(sse === undefined ? {} : { ServerSideEncryption: sse as ServerSideEncryption }),
      ...(sseKmsKeyId === undefined ? {} : { SSEKMSKeyId: sseKmsKeyId }),
    })
    await this.#named(`write ${path}`, this.#client.send(put, limit()))
  }

  async read(path: string): Promise<Uint8Array | undefined> {
    const found = await this.#named(
      `read ${path}`,
      orAbsent(this.#client.send(new GetObjectCommand(this.#object(path)), limit())),
    )
    return found?.Body === undefined ? undefined : this.#named(`read ${path}`, found.Body.transformToByteArray())
  }

  async size(path: string): Promise<number> {
    const head = new HeadObjectCommand(this.#object(path))
    return (await this.#named(`find ${path}`, orAbsent(this.#client.send(head, limit()))))?.ContentLength ?? 0
  }

  async list(folder: string): Promise<readonly string[]> {
    const prefix = `${this.#object(folder).Key}/`
    const names: string[] = []
    for (let token: string | undefined; ;) {
      const page = await this.#named(
        `list ${folder}`,
        this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#location.bucket,
            Prefix: prefix,
            Delimiter: '/',
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
          limit(),
        ),
      )
      for (const { Key } of page.Contents ?? []) if (Key !== undefined) names.push(Key.slice(prefix.length))
      token = page.NextContinuationToken
      if (token === undefined) return names
    }
  }

  async check(): Promise<void> {
    try {
      await this.#client.send(new HeadBucketCommand({ Bucket: this.#location.bucket }), {
        abortSignal: AbortSignal.timeout(10_000),
      })
    } catch (cause) {
      const why = cause instanceof Error ? `: ${cause.name}` : ''
      const text = `creating ExternalStorage for s3: bucket ${this.#location.bucket} cannot be used${why}`
      throw new CdcError('DFLOW:ErrFailToCreateExternalStorage', text, { cause })
    }
  }

  [Symbol.dispose](): void {
    this.#client.destroy()
  }

  #object(path: string): { Bucket: string; Key: string } {
    const { bucket, prefix } = this.#location
    return { Bucket: bucket, Key: prefix === '' ? path : `${prefix}/${path}` }
  }

  async #named<T>(doing: string, work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (cause) {
      const why = cause instanceof Error ? `: ${cause.name}` : ''
      throw new CdcError('CDC:ErrS3StorageAPI', `external storage api: cannot ${doing}${why}`, { cause })
    }
  }
}

const limit = (): { abortSignal: AbortSignal } => ({ abortSignal: AbortSignal.timeout(TIMEOUT_MS) })

async function orAbsent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (error instanceof Error && (error.name === 'NoSuchKey' || error.name === 'NotFound')) return undefined
    throw error
  }
}
