/** The peers' programs, from Maven Central; kept from run to run. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheFolder } from '../../test/support/cache.ts'
import { run } from '../../test/support/process.ts'

/** `group:artifact:version` */
export type Coordinates = `${string}:${string}:${string}`

/** Folder with the jars and everything that they need; fetched on first use. */
export async function jars(name: string, wanted: readonly Coordinates[]): Promise<string> {
  const folder = cacheFolder('peers', name)
  if (existsSync(join(folder, 'complete'))) return folder
  const build = await mkdtemp(join(tmpdir(), 'tidewire-peer-'))
  try {
    await writeFile(join(build, 'pom.xml'), pomOf(wanted))
    const copy = ['-B', '-q', 'dependency:copy-dependencies', `-DoutputDirectory=${folder}`]
    await using maven = await run('mvn', copy, { cwd: build })
    if ((await maven.exited) !== 0) throw new Error(`mvn failed:\n${maven.lines.slice(-20).join('\n')}`)
    await writeFile(join(folder, 'complete'), '')
    return folder
  } finally {
    await rm(build, { recursive: true, force: true })
  }
}

function pomOf(wanted: readonly Coordinates[]): string {
  const dependencies = wanted.map((coordinates) => {
    const [group, artifact, version] = coordinates.split(':')
    return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`
  })
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidewire</groupId>
  <artifactId>peer</artifactId>
  <version>1</version>
  <dependencies>
    ${dependencies.join('\n    ')}
  </dependencies>
</project>
`
}
