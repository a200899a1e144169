/** TiKV's Java client from the jars in Maven Central. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheFolder } from './cache.ts'
import { hasCommand, run } from './process.ts'
import type { Availability } from './require.ts'

/** Artifacts of one class path; nothing that they ask for comes along. */
const ARTIFACTS = {
  /** The newest client; it has no change feed any more. */
  client: ['org.tikv:tikv-client-java:3.3.5', 'org.slf4j:slf4j-api:1.7.36', 'org.slf4j:slf4j-nop:1.7.36'],
  /** The change feed as Flink's connector has it: its copy handles region errors, which the client's own does not. */
  'change-feed': [
    'com.ververica:flink-connector-tidb-cdc:2.4.0',
    'org.apache.flink:flink-core:1.17.1',
    'org.apache.flink:flink-shaded-guava:30.1.1-jre-15.0',
    'org.tikv:tikv-client-java:3.2.0',
    'org.slf4j:slf4j-api:1.7.36',
    'org.slf4j:slf4j-nop:1.7.36',
  ],
} as const
export type JavaClient = keyof typeof ARTIFACTS
const CLIENTS: readonly JavaClient[] = ['client', 'change-feed']

const jars = (client: JavaClient): string => cacheFolder('tikv-java', client)
const isComplete = (client: JavaClient): boolean => existsSync(join(jars(client), 'complete'))

let hasJava: boolean | undefined

/** True when the jars and a Java compiler are there. */
export async function available(): Promise<Availability> {
  hasJava ??= hasCommand('javac', '-version')
  if (!hasJava) return 'a Java compiler is missing (Debian: apt-get install default-jdk-headless)'
  if (!CLIENTS.every(isComplete)) return "the jars of TiKV's Java client are missing (run: npm run setup:test)"
  return true
}

/** Fetches the jars with Maven; does nothing where they are already there. */
export async function install(): Promise<void> {
  for (const client of CLIENTS) {
    if (isComplete(client)) continue
    const folder = jars(client)
    const build = await mkdtemp(join(tmpdir(), 'tidewire-tikv-java-'))
    try {
      await writeFile(join(build, 'pom.xml'), pomOf(ARTIFACTS[client]))
      const maven = await run('mvn', ['-B', '-q', 'dependency:copy-dependencies', `-DoutputDirectory=${folder}`], {
        cwd: build,
      })
      if ((await maven.exited) !== 0) throw new Error(`mvn failed:\n${maven.lines.slice(-20).join('\n')}`)
      await writeFile(join(folder, 'complete'), '')
    } finally {
      await rm(build, { recursive: true, force: true })
    }
  }
}

/** Class path in the order of the artifacts: the connector's copies of classes go before the client's. */
export const classPath = (client: JavaClient, ...more: readonly string[]): string =>
  [...ARTIFACTS[client].map((artifact) => join(jars(client), jarOf(artifact))), ...more].join(':')

function jarOf(artifact: string): string {
  const [, name = '', version = ''] = artifact.split(':')
  return `${name}-${version}.jar`
}

function pomOf(artifacts: readonly string[]): string {
  const dependencies = artifacts.map((artifact) => {
    const [group, name, version] = artifact.split(':')
    return `    <dependency>
      <groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
    </dependency>`
  })
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidewire</groupId>
  <artifactId>tikv-java</artifactId>
  <version>1</version>
  <dependencies>
${dependencies.join('\n')}
  </dependencies>
</project>
`
}
