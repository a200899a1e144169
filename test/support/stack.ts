/** The product's processes as a user starts them: `bin/cdc playground`, `bin/cdc server`, `bin/cdc cli …`. */
import { mkdtemp, mkdtempDisposable, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts, run, type Running, waitFor } from './process.ts'

export const cdc = join(import.meta.dirname, '..', '..', 'bin', 'cdc')

export interface PlaygroundProcess extends AsyncDisposable {
  readonly pd: string
  /** host:port */
  readonly sql: string
  readonly admin: string
  readonly process: Running
}

export async function startPlayground(...args: readonly string[]): Promise<PlaygroundProcess> {
  const ports = ['--pd-port', '0', '--sql-port', '0', '--admin-port', '0']
  const process = await run(cdc, ['playground', ...ports, ...args], { ready: /^\{"pd"/ })
  const { pd, sql, admin } = JSON.parse(process.readyLine)
  return { pd, sql, admin, process, [Symbol.asyncDispose]: () => process[Symbol.asyncDispose]() }
}

export interface ServerOptions {
  readonly pd: string
  readonly args?: readonly string[]
  /** Kept over restarts. */
  readonly port?: number
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Kept at the server's end; absent: a new one, which goes with it. */
  readonly dataDir?: string
}

export interface ServerProcess extends AsyncDisposable {
  /** http://host:port */
  readonly url: string
  readonly port: number
  readonly process: Running
}

/** Starts a server and waits until its API says that it is healthy. */
export async function startServer(options: ServerOptions): Promise<ServerProcess> {
  const [freePort = 0] = await freePorts(1)
  const port = options.port ?? freePort
  const folder = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'tidewire-server-')))
  const args = ['server', '--pd', options.pd, '--addr', `127.0.0.1:${port}`, '--data-dir', folder]
  const process = await run(cdc, [...args, ...(options.args ?? [])], options.env ? { env: options.env } : {})
  const url = `http://127.0.0.1:${port}`
  const dispose = async (): Promise<void> => {
    await process[Symbol.asyncDispose]()
    if (options.dataDir === undefined) await rm(folder, { recursive: true, force: true })
  }
  try {
    await waitFor(`the API of the server at ${url}`, async () => {
      if (!process.alive) throw new Error(`the server ended:\n${process.lines.slice(-30).join('\n')}`)
      return (await fetch(`${url}/api/v2/health`).catch(() => undefined))?.ok
    })
  } catch (error) {
    await dispose()
    throw error
  }
  return { url, port, process, [Symbol.asyncDispose]: dispose }
}

export interface CommandResult {
  readonly code: number | null
  readonly stdout: string
  readonly output: string
}

/** Runs one `cdc` command line to its end. */
export async function command(...args: readonly string[]): Promise<CommandResult> {
  await using process = await run(cdc, args)
  const code = await process.exited
  return { code, stdout: process.stdout.join('\n'), output: process.lines.join('\n') }
}

/** `cdc cli …`, which must succeed; resolves to its stdout. */
export async function cli(server: ServerProcess, ...args: readonly string[]): Promise<string> {
  const { code, stdout, output } = await command('cli', ...args, '--server', server.url)
  if (code !== 0) throw new Error(`cdc cli ${args.join(' ')} ended with ${code}:\n${output}`)
  return stdout
}

export interface ChangefeedAnswer {
  readonly state: string
  readonly checkpoint_ts: bigint
  readonly error?: { readonly code: string; readonly message: string }
  /** Absent where nothing runs. */
  readonly task_status?: readonly { readonly capture_id: string; readonly table_ids: readonly bigint[] }[]
}

export interface NewChangefeed {
  readonly id: string
  readonly sinkUri: string
  /** Absent: now. */
  readonly startTs?: bigint
  /** Lines of its configuration file. */
  readonly config: readonly string[]
}

/** Creates a changefeed with a configuration file. */
export async function createChangefeed(server: ServerProcess, plan: NewChangefeed): Promise<void> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tidewire-changefeed-'))
  const config = join(folder.path, 'changefeed.toml')
  await writeFile(config, `${plan.config.join('\n')}\n`)
  const args = ['--changefeed-id', plan.id, '--sink-uri', plan.sinkUri, '--config', config, '--no-confirm']
  if (plan.startTs !== undefined) args.push('--start-ts', String(plan.startTs))
  await cli(server, 'changefeed', 'create', ...args)
}

/** The changefeed as the API shows it; 64-bit numbers as bigint. */
export async function changefeed(server: ServerProcess, id: string): Promise<ChangefeedAnswer> {
  const answer = await fetch(`${server.url}/api/v2/changefeeds/${id}`)
  const text = await answer.text()
  const exact = (_key: string, value: unknown, context?: { readonly source?: string }): unknown =>
    typeof value === 'number' && !Number.isSafeInteger(value) ? BigInt(context?.source ?? '0') : value
  if (!answer.ok) throw new Error(`changefeed ${id}: ${answer.status} ${text}`)
  return JSON.parse(text, exact)
}

/** Waits until everything at or below `ts` is out. */
export async function caughtUp(server: ServerProcess, id: string, ts: bigint, deadlineMs = 60_000): Promise<void> {
  let last = ''
  try {
    await waitFor(
      `changefeed ${id} to reach ${ts}`,
      async () => {
        if (!server.process.alive) throw new Error('the server ended')
        const found = await changefeed(server, id)
        if (found.state === 'failed') throw new Error(`the changefeed failed: ${found.error?.message}`)
        last = JSON.stringify(found, (_, value) => (typeof value === 'bigint' ? value.toString() : value))
        return BigInt(found.checkpoint_ts) >= ts
      },
      deadlineMs,
    )
  } catch (error) {
    const log = server.process.lines.filter((line) => !line.includes('open api request'))
    throw new Error(`${last}\n${log.slice(-30).join('\n')}`, { cause: error })
  }
}

/** A timestamp of the cluster, after everything that was committed so far. */
export async function clusterTs(server: ServerProcess, pd: string): Promise<bigint> {
  const text = await cli(server, 'tso', 'query', '--pd', pd)
  return BigInt(text.trim().split('\n').at(-1) ?? '0')
}
