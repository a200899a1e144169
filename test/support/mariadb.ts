/** A real MariaDB: a second opinion on SQL. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts, hasCommand, run } from './process.ts'
import type { Availability } from './require.ts'

export interface MariaDb extends AsyncDisposable {
  readonly host: string
  readonly port: number
}

let found: boolean | undefined

export async function available(): Promise<Availability> {
  found ??= hasCommand('mariadbd', '--version') && hasCommand('sh', '-c', 'command -v mariadb-install-db')
  return found || 'MariaDB is missing (Debian: apt-get install mariadb-server)'
}

/** Starts a server on a free port, with an empty data folder of its own and the user `root` without password. */
export async function startMariaDb(...args: readonly string[]): Promise<MariaDb> {
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-mariadb-'))
  const dispose = (): Promise<void> => rm(folder, { recursive: true, force: true, maxRetries: 5 })
  try {
    const options = ['--no-defaults', ...(process.getuid?.() === 0 ? ['--user=root'] : []), `--datadir=${folder}/data`]
    const install = await run('mariadb-install-db', [...options, '--auth-root-authentication-method=normal'])
    if ((await install.exited) !== 0)
      throw new Error(`mariadb-install-db failed:\n${install.lines.slice(-20).join('\n')}`)
    const [port = 0] = await freePorts(1)
    const network = [`--port=${port}`, '--bind-address=127.0.0.1', `--socket=${folder}/socket`]
    const files = [`--pid-file=${folder}/pid`, '--innodb-flush-log-at-trx-commit=0']
    const server = await run('mariadbd', [...options, ...network, ...files, ...args], {
      ready: /ready for connections/,
      readyWithinMs: 60_000,
    })
    return {
      host: '127.0.0.1',
      port,
      async [Symbol.asyncDispose]() {
        await server[Symbol.asyncDispose]()
        await dispose()
      },
    }
  } catch (error) {
    await dispose()
    throw error
  }
}
