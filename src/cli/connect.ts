import { CdcError } from '../base/errors.ts'
import { createApiClient, type ApiClient } from './api-client.ts'
import type { CommandContext } from './command.ts'
import { findCredentials, type Credentials } from './credentials.ts'

/** The API of the server that `--server` or `--pd` names, checked to be one that this command line can drive. */
export async function connect(context: CommandContext): Promise<ApiClient> {
  const credentials = findCredentials(context)
  const client = createApiClient(await serverAddress(context, credentials), credentials, context.signal)
  const status = await client.get('/status')
  const version = typeof status['version'] === 'string' ? status['version'] : ''
  if (isOlder(version, [6, 2]))
    throw new CdcError('CDC:ErrVersionIncompatible', `version is incompatible: server ${version} is older than v6.2.0`)
  return client
}

async function serverAddress(context: CommandContext, credentials: Credentials): Promise<string> {
  const { flags } = context
  const server = flags.text('server')
  const pd = flags.text('pd')
  const scheme = credentials.tls === undefined ? 'http' : 'https'
  if (server !== '' && pd !== '')
    throw new Error(
      'Parameter --pd is deprecated, please use parameter --server instead. These two parameters cannot be specified at the same time.',
    )
  if (pd !== '') {
    const { findOwner } = await import('./find-owner.ts')
    return `${scheme}://${await findOwner(pd, credentials, context.signal)}`
  }
  if (server === '') return `${scheme}://127.0.0.1:8300`
  const url = /^https?:\/\//.test(server) ? server : `${scheme}://${server}`
  const parsed = URL.parse(url)
  if (parsed === null || parsed.host === '' || (parsed.pathname !== '/' && parsed.pathname !== ''))
    throw new CdcError('CDC:ErrInvalidHost', `host must be a URL or a host:port pair: ${JSON.stringify(server)}`)
  return `${parsed.protocol}//${parsed.host}`
}

/** False for what is no version: such builds pass every gate. */
function isOlder(version: string, [major, minor]: readonly [number, number]): boolean {
  const [, a, b] = /^v?(\d+)\.(\d+)\./.exec(version) ?? []
  if (a === undefined || b === undefined) return false
  return Number(a) < major || (Number(a) === major && Number(b) < minor)
}
