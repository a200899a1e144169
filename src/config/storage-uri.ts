import { CdcError } from '../base/errors.ts'
import { parseGoQuery, parseGoUrl, UrlSyntaxError, type GoUrl } from './go-url.ts'
import { parseGoBool } from './go-values.ts'

/** Where objects are kept: rows of a storage sink, large messages (reference: storage-sink, section 7). */
export type StorageLocation = FileLocation | S3Location

export interface FileLocation {
  readonly kind: 'file'
  /** Absolute. */
  readonly path: string
}

export interface S3Location {
  readonly kind: 's3'
  readonly bucket: string
  /** Without slashes at its ends; '' = the bucket's root. */
  readonly prefix: string
  readonly region: string | undefined
  readonly endpoint: string | undefined
  readonly forcePathStyle: boolean
  readonly accelerate: boolean
  /** undefined = what AWS's own chain of credentials finds. */
  readonly credentials:
    | { readonly accessKey: string; readonly secretAccessKey: string; readonly sessionToken: string | undefined }
    | undefined
  readonly storageClass: string | undefined
  readonly acl: string | undefined
  readonly sse: string | undefined
  readonly sseKmsKeyId: string | undefined
}

/** Schemes of TiCDC's that are not built. */
const FOREIGN = ['gcs', 'gs', 'azure', 'azblob', 'noop', 'ks3']

const invalid = (text: string): CdcError => new CdcError('CDC:ErrStorageSinkInvalidConfig', text)

/** Parameters that are not the storage's are ignored. Error: `CDC:ErrStorageSinkInvalidConfig`, without the URI. */
export function parseStorageUri(uri: string): StorageLocation {
  try {
    return storageLocation(parseGoUrl(uri))
  } catch (error) {
    if (!(error instanceof UrlSyntaxError)) throw error
    throw invalid(`invalid storage uri: ${error.message}`)
  }
}

/** Parameters that a storage URI may have beside a sink's. */
export const STORAGE_PARAMETERS = [
  'access-key',
  'secret-access-key',
  'session-token',
  'region',
  'endpoint',
  'force-path-style',
  'use-accelerate-endpoint',
  'provider',
  'storage-class',
  'acl',
  'sse',
  'sse-kms-key-id',
]

export function storageLocation(url: GoUrl): StorageLocation {
  const parameters = new Map(parseGoQuery(url.query).map(([name, value]) => [keyOf(name), value]))
  switch (url.scheme) {
    case 'file':
    case 'local':
      if (url.host !== '') throw invalid(`file://${url.host} is not an absolute path: write file:///path`)
      if (!url.path.startsWith('/')) throw invalid('the path of a file storage must be absolute')
      return { kind: 'file', path: url.path }
    case 's3':
      return s3Location(url.host, url.path, parameters)
    default: {
      const why = FOREIGN.includes(url.scheme) ? ' is not built yet in this version' : ' is not supported'
      throw invalid(`the storage scheme (${url.scheme})${why}, use file or s3`)
    }
  }
}

/** `access_key` is `access-key`. */
const keyOf = (name: string): string => name.toLowerCase().replaceAll('_', '-')

function s3Location(bucket: string, path: string, parameters: ReadonlyMap<string, string>): S3Location {
  const text = (name: string): string | undefined => parameters.get(name) || undefined
  const flag = (name: string, otherwise: boolean): boolean => parseGoBool(parameters.get(name) ?? '') ?? otherwise
  if (bucket === '') throw invalid(`please specify the bucket for s3 in s3://${path}`)
  const endpoint = text('endpoint')?.replace(/\/$/, '')
  if (endpoint !== undefined && !/^https?:\/\/[^/]+/i.test(endpoint))
    throw invalid(`the endpoint of s3 needs scheme and host: http://host:port`)
  const [accessKey, secretAccessKey] = [text('access-key'), text('secret-access-key')]
  if (accessKey === undefined && secretAccessKey !== undefined) throw invalid('access_key not found')
  if (accessKey !== undefined && secretAccessKey === undefined) throw invalid('secret_access_key not found')
  const accelerate = flag('use-accelerate-endpoint', false)
  const provider = text('provider')
  return {
    kind: 's3',
    bucket,
    prefix: path.replace(/^\/+|\/+$/g, ''),
    region: text('region'),
    endpoint,
    forcePathStyle: !accelerate && provider !== 'alibaba' && provider !== 'netease' && flag('force-path-style', true),
    accelerate,
    credentials:
      accessKey === undefined || secretAccessKey === undefined
        ? undefined
        : { accessKey, secretAccessKey, sessionToken: text('session-token') },
    storageClass: text('storage-class'),
    acl: text('acl'),
    sse: text('sse'),
    sseKmsKeyId: text('sse-kms-key-id'),
  }
}

/** The location as messages and logs may show it: without parameters, and without a slash at its end. */
export function canonicalStorageUri(location: StorageLocation): string {
  const uri =
    location.kind === 'file'
      ? `file://${location.path}`
      : `s3://${location.bucket}${location.prefix === '' ? '' : `/${location.prefix}`}`
  return uri.replace(/\/$/, '')
}
