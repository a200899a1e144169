/** A real etcd of one member, from Debian's etcd-server. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SecurityOptions } from '../../src/upstream/pd/pd.ts'
import { freePorts, hasCommand, run, type Running, waitFor } from './process.ts'
import type { Availability } from './require.ts'

/** A server whose data and port outlive a restart. */
export interface EtcdServer extends AsyncDisposable {
  /** `http://127.0.0.1:port`. */
  readonly url: string
  /** SIGSTOP: connections stay open, nothing is answered. */
  pause(): void
  resume(): void
  /** SIGKILL. */
  kill(): Promise<void>
  /** Starts it again after kill. */
  restart(): Promise<void>
}

export async function available(): Promise<Availability> {
  return hasCommand('etcd', '--version') ? true : 'etcd is missing (Debian: apt-get install etcd-server)'
}

/** With `security` it speaks TLS only, and wants a certificate of its clients. */
export async function startEtcd(security?: Required<SecurityOptions>): Promise<EtcdServer> {
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-etcd-'))
  const [clientPort = 0, peerPort = 0] = await freePorts(2)
  const url = `${security === undefined ? 'http' : 'https'}://127.0.0.1:${clientPort}`
  const peerUrl = `http://127.0.0.1:${peerPort}`
  const args = ['--name=test', `--data-dir=${folder}`, '--unsafe-no-fsync', `--initial-cluster=test=${peerUrl}`]
  args.push(`--listen-client-urls=${url}`, `--advertise-client-urls=${url}`)
  args.push(`--listen-peer-urls=${peerUrl}`, `--initial-advertise-peer-urls=${peerUrl}`)
  if (security !== undefined) {
    args.push(`--cert-file=${security.certPath}`, `--key-file=${security.keyPath}`)
    args.push(`--trusted-ca-file=${security.caPath}`, '--client-cert-auth')
  }
  // Its health is not asked for with a certificate.
  const [metricsPort = 0] = await freePorts(1)
  const health = `http://127.0.0.1:${metricsPort}`
  args.push(`--listen-metrics-urls=${health}`)
  const start = async (): Promise<Running> => {
    const server = await run('etcd', args, { env: { ETCD_UNSUPPORTED_ARCH: 'arm64' } })
    const answers = (): Promise<boolean> => fetch(`${health}/health`).then(isHealthy, () => false)
    await waitFor(`etcd at ${url}`, async () => {
      if (!server.alive) throw new Error(`etcd ended:\n${server.lines.slice(-20).join('\n')}`)
      return answers()
    })
    return server
  }
  let server = await start()
  const kill = async (): Promise<void> => {
    server.kill('SIGKILL')
    await server.exited
  }

  return {
    url,
    pause: () => server.kill('SIGSTOP'),
    resume: () => server.kill('SIGCONT'),
    kill,
    async restart() {
      if (server.alive) await kill()
      server = await start()
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

const isHealthy = async (response: Response): Promise<boolean> => (await response.text()).includes('"true"')
