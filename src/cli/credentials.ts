import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'smol-toml'
import { CdcError } from '../base/errors.ts'
import type { CommandContext } from './command.ts'

/** How the command line proves itself to a server. */
export interface Credentials {
  /** Empty: none. */
  readonly user: string
  readonly password: string
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string } | undefined
}

/** Flags, else `TICDC_*`, else `~/.ticdc/credentials`: the first that has any (reference: interface, section 1.4). */
export function findCredentials({ flags, env }: CommandContext): Credentials {
  const file = credentialsFile(env)
  const [ca, cert, key] = firstAny(
    [flags.text('ca'), flags.text('cert'), flags.text('key')],
    [env['TICDC_CA_PATH'] ?? '', env['TICDC_CERT_PATH'] ?? '', env['TICDC_KEY_PATH'] ?? ''],
    [file('ca_path'), file('cert_path'), file('key_path')],
  )
  const [user, password] = firstAny(
    [flags.text('user'), flags.text('password')],
    [env['TICDC_USER'] ?? '', env['TICDC_PASSWORD'] ?? ''],
    [file('ticdc_user'), file('ticdc_password')],
  )
  if (user === '' && password !== '')
    throw new CdcError('CDC:ErrCredentialNotFound', 'credential not found: a password without a user')
  const complete = ca !== '' && cert !== '' && key !== ''
  return { user, password, tls: complete ? { ca, cert, key } : undefined }
}

/** The first of the lists with a text that is not empty, else the last. */
function firstAny<T extends readonly string[]>(...lists: readonly [T, ...T[]]): T {
  return lists.find((list) => list.some((text) => text !== '')) ?? lists[0]
}

function credentialsFile(env: NodeJS.ProcessEnv): (name: string) => string {
  const path = join(env['HOME'] ?? '', '.ticdc', 'credentials')
  if (!existsSync(path)) return () => ''
  const values = parse(readFileSync(path, 'utf8'))
  return (name) => {
    const value = values[name]
    return typeof value === 'string' ? value : ''
  }
}
