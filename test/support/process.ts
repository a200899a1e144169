import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'

export interface RunOptions {
  readonly cwd?: string
  /** Added to this process's environment; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** The first line of stdout or stderr that matches says that the process is ready; no line is needed when absent. */
  readonly ready?: RegExp
  readonly readyWithinMs?: number
}

/** A child process; disposing of it kills it and waits for its end. */
export interface Running extends AsyncDisposable {
  readonly pid: number
  /** The line that said "ready"; empty where none was asked for. */
  readonly readyLine: string
  /** Lines of stdout and stderr so far, in the order of arrival. */
  readonly lines: readonly string[]
  /** Lines of stdout alone. */
  readonly stdout: readonly string[]
  /** Resolves to the exit code, or null when a signal ended it. */
  readonly exited: Promise<number | null>
  readonly alive: boolean
  kill(signal?: NodeJS.Signals): void
  /** SIGTERM, then SIGKILL after `graceMs`. */
  stop(graceMs?: number): Promise<number | null>
}

const children = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

/** Starts a process and waits for its ready line; rejects with its output when it ends or is silent instead. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Running> {
  const env = { ...process.env, ...options.env }
  const child = spawn(command, args, {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd ? { cwd: options.cwd } : {}),
  })
  children.add(child)
  const lines: string[] = []
  const stdout: string[] = []
  const ready = Promise.withResolvers<string>()
  const exited = Promise.withResolvers<number | null>()
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line)
      if (stream === child.stdout) stdout.push(line)
      if (options.ready?.test(line) === true) ready.resolve(line)
    })
  child.once('error', (error) => {
    ready.reject(error)
    exited.resolve(null)
  })
  child.once('close', (code) => {
    children.delete(child)
    ready.reject(new Error(`${command} ended with ${code}:\n${lines.slice(-40).join('\n')}`))
    exited.resolve(code)
  })
  if (options.ready === undefined) ready.resolve('')
  const limitMs = options.readyWithinMs ?? 60_000
  const timer = setTimeout(() => {
    ready.reject(new Error(`${command} was not ready within ${limitMs} ms:\n${lines.slice(-40).join('\n')}`))
    child.kill('SIGKILL')
  }, limitMs)
  const readyLine = await ready.promise.finally(() => clearTimeout(timer))

  async function stop(graceMs = 10_000): Promise<number | null> {
    child.kill('SIGTERM')
    const force = setTimeout(() => child.kill('SIGKILL'), graceMs)
    return exited.promise.finally(() => clearTimeout(force))
  }

  return {
    pid: child.pid ?? 0,
    readyLine,
    lines,
    stdout,
    exited: exited.promise,
    get alive() {
      return child.exitCode === null && child.signalCode === null
    },
    kill: (signal = 'SIGKILL') => void child.kill(signal),
    stop,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited.promise
    },
  }
}

/** Waits until `condition` gives something other than undefined and false; rejects after `deadlineMs` and says what for. */
export async function waitFor<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMs = 30_000,
): Promise<T> {
  const end = performance.now() + deadlineMs
  for (let pauseMs = 10; ; pauseMs = Math.min(250, pauseMs * 1.5)) {
    const value = await condition()
    if (value !== undefined && value !== false) return value
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

/** Ports that nobody listens on at the moment. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  try {
    return await Promise.all(
      servers.map((server) => {
        const { promise, resolve, reject } = Promise.withResolvers<number>()
        server.once('error', reject)
        server.listen(0, '127.0.0.1', () => {
          const address = server.address()
          if (address !== null && typeof address === 'object') resolve(address.port)
        })
        return promise
      }),
    )
  } finally {
    for (const server of servers) server.close()
  }
}

/** Whether a command can be run. */
export function hasCommand(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}
