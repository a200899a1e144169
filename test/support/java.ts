/** The Java client of TiKV from Maven Central: an implementation of TiDB's formats and protocols that is not ours. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheFolder } from './cache.ts'
import { hasCommand, run, type Running, type RunOptions } from './process.ts'
import type { Availability } from './require.ts'

const VERSION = '3.3.5'

const jars = (): string => cacheFolder('tikv-client-java', VERSION)

let hasCompiler: boolean | undefined

/** True when the client's jar and a JDK are there. */
export async function available(): Promise<Availability> {
  hasCompiler ??= hasCommand('javac', '-version')
  if (!hasCompiler) return 'a JDK is missing (Debian: apt-get install openjdk-17-jdk-headless)'
  if (!existsSync(join(jars(), 'complete'))) return "the jar of TiKV's Java client is missing (run: npm run setup:test)"
  return true
}

/** Fetches the jar with Maven; does nothing where it is already there. */
export async function install(): Promise<void> {
  const folder = jars()
  if (existsSync(join(folder, 'complete'))) return
  const build = await mkdtemp(join(tmpdir(), 'tidewire-java-'))
  try {
    await writeFile(join(build, 'pom.xml'), POM)
    const goal = ['-B', '-q', 'dependency:copy-dependencies', `-DoutputDirectory=${folder}`]
    const maven = await run('mvn', goal, { cwd: build })
    if ((await maven.exited) !== 0) throw new Error(`mvn failed:\n${maven.lines.slice(-20).join('\n')}`)
    await writeFile(join(folder, 'complete'), '')
  } finally {
    await rm(build, { recursive: true, force: true })
  }
}

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidewire</groupId>
  <artifactId>java-client</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.tikv</groupId><artifactId>tikv-client-java</artifactId><version>${VERSION}</version></dependency>
  </dependencies>
</project>
`

/** Compiles and runs a program of one source file with the client on its class path. */
export function runJava(source: string, args: readonly string[], options: RunOptions = {}): Promise<Running> {
  const java = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', join(jars(), '*')]
  return run('java', [...java, source, ...args], options)
}
