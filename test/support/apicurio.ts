/** A real schema registry: Apicurio, whose jars are in Maven Central, with Confluent's API. */
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheFolder } from './cache.ts'
import { freePorts, hasCommand, run, waitFor } from './process.ts'
import type { Availability } from './require.ts'

/** The last line of versions that runs on Java 17. */
const VERSION = '2.6.13.Final'
const ARTIFACT = 'io.apicurio:apicurio-registry-app'

const folder = (): string => cacheFolder('apicurio', VERSION)

export async function available(): Promise<Availability> {
  if (!hasCommand('java', '-version')) return 'Java is missing (Debian: apt-get install default-jdk-headless)'
  if (!existsSync(join(folder(), 'complete'))) return 'Apicurio is missing (run: npm run setup:test)'
  return true
}

/** Fetches it with Maven; does nothing where it is already there. */
export async function install(): Promise<void> {
  if (existsSync(join(folder(), 'complete'))) return
  const build = await mkdtemp(join(tmpdir(), 'tidewire-apicurio-'))
  try {
    const archive = `${ARTIFACT}:${VERSION}:tar.gz:all`
    for (const [command, ...args] of [
      ['mvn', '-B', '-q', 'dependency:get', `-Dartifact=${archive}`, '-Dtransitive=false'],
      ['mvn', '-B', '-q', 'dependency:copy', `-Dartifact=${archive}`, `-DoutputDirectory=${build}`],
      ['sh', '-c', `tar xzf "${build}"/*.tar.gz -C "${folder()}"`],
    ] as const) {
      const step = await run(command, args, { cwd: build })
      if ((await step.exited) !== 0) throw new Error(`${command} failed:\n${step.lines.slice(-20).join('\n')}`)
    }
    await writeFile(join(folder(), 'complete'), '')
  } finally {
    await rm(build, { recursive: true, force: true })
  }
}

export interface ApicurioRegistry extends AsyncDisposable {
  /** Of Confluent's API. */
  readonly url: string
  /** SIGSTOP: connections are taken, nothing is answered. */
  pause(): void
  resume(): void
}

/** Starts a registry that keeps its schemas in memory. */
export async function startApicurio(): Promise<ApicurioRegistry> {
  const [port = 0] = await freePorts(1)
  const jar = (await readdir(folder())).find((name) => name.endsWith('-runner.jar')) ?? ''
  const java = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-jar', jar]
  const registry = await run('java', java, { cwd: folder(), env: { QUARKUS_HTTP_PORT: String(port) } })
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`
  try {
    await waitFor(`Apicurio at ${url}`, async () => {
      if (!registry.alive) throw new Error(`Apicurio ended:\n${registry.lines.slice(-20).join('\n')}`)
      return (await fetch(`${url}/subjects`).catch(() => undefined))?.ok
    })
  } catch (error) {
    await registry[Symbol.asyncDispose]()
    throw error
  }
  return {
    url,
    pause: () => registry.kill('SIGSTOP'),
    resume: () => registry.kill('SIGCONT'),
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  }
}
