/** Readers of messages that others wrote: Flink's canal-json, Debezium's and Kafka Connect's JSON, Python's csv, DuckDB. */
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheFolder } from './cache.ts'
import { python, type ConsumedRecord } from './consumer.ts'
import { hasCommand, run } from './process.ts'
import type { Availability } from './require.ts'
import type { RowText } from './workload.ts'

export interface ReadChange {
  readonly format: string
  readonly table: string
  /** Begins with `+` for a row as it is now and with `-` for one that is gone. */
  readonly kind: string
  readonly row: RowText
  readonly commitTs?: string
}

/** A record with the format and the table that its topic stands for. */
export interface FormatRecord {
  readonly format: string
  readonly table: string
  readonly record: Pick<ConsumedRecord, 'key' | 'value'>
}

const VERSION = 'flink-1.20.1-debezium-2.7.4'
const jars = (): string => cacheFolder('readers', VERSION)

export async function available(): Promise<Availability> {
  if (!hasCommand('javac', '-version')) return 'javac is missing (Debian: apt-get install default-jdk-headless)'
  if (existsSync(join(jars(), 'complete'))) return true
  return 'the jars of Flink and Debezium are missing (run: npm run setup:test)'
}

/** Fetches the jars with Maven; does nothing where they are already there. */
export async function install(): Promise<void> {
  const folder = jars()
  if (existsSync(join(folder, 'complete'))) return
  const build = await mkdtemp(join(tmpdir(), 'tidewire-readers-'))
  try {
    await writeFile(join(build, 'pom.xml'), POM)
    const copy = ['-B', '-q', 'dependency:copy-dependencies', `-DoutputDirectory=${folder}`]
    const maven = await run('mvn', copy, { cwd: build })
    if ((await maven.exited) !== 0) throw new Error(`mvn failed:\n${maven.lines.slice(-20).join('\n')}`)
    await writeFile(join(folder, 'complete'), '')
  } finally {
    await rm(build, { recursive: true, force: true })
  }
}

const dependency = (group: string, artifact: string, version: string): string =>
  `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidewire</groupId>
  <artifactId>readers</artifactId>
  <version>1</version>
  <dependencies>
    ${['flink-json', 'flink-table-common', 'flink-table-runtime', 'flink-core'].map((name) => dependency('org.apache.flink', name, '1.20.1')).join('\n    ')}
    ${['connect-json', 'connect-api', 'connect-transforms'].map((name) => dependency('org.apache.kafka', name, '3.7.0')).join('\n    ')}
    ${dependency('io.debezium', 'debezium-core', '2.7.4.Final')}
    ${dependency('org.slf4j', 'slf4j-nop', '1.7.36')}
  </dependencies>
</project>
`

/** `schemas`: table → column → type of Flink. Formats: canal-json, maxwell, debezium, lz4, snappy. */
export async function readWithJava(
  records: readonly FormatRecord[],
  schemas: Readonly<Record<string, Readonly<Record<string, string>>>>,
): Promise<ReadChange[]> {
  return inFolder(records, async (folder, input) => {
    const source = join(import.meta.dirname, 'Readers.java')
    await finished('javac', '-proc:none', '-cp', join(jars(), '*'), '-d', folder, source)
    const tables = Object.entries(schemas).map(([table, columns]) => {
      const list = Object.entries(columns).map(([name, type]) => `${name}:${type}`)
      return `${table}=${list.join(';')}`
    })
    const java = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dfile.encoding=UTF-8']
    return finished(
      'java',
      ...java,
      '-Dstdout.encoding=UTF-8',
      '-cp',
      `${join(jars(), '*')}:${folder}`,
      'Readers',
      input,
      ...tables,
    )
  })
}

/** Formats: open-protocol and maxwell. */
export const readWithPython = (records: readonly FormatRecord[]): Promise<ReadChange[]> =>
  inFolder(records, (_, input) => finished(python(), script, 'messages', input))

/** The csv files below the root of a storage sink, read by Python's csv module or by DuckDB. */
export const readCsvFiles = async (reader: 'csv' | 'duckdb', root: string): Promise<ReadChange[]> =>
  changesOf(await finished(python(), script, reader, root))

const script = join(import.meta.dirname, 'readers.py')

async function inFolder(
  records: readonly FormatRecord[],
  read: (folder: string, input: string) => Promise<readonly string[]>,
): Promise<ReadChange[]> {
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-readers-'))
  try {
    const input = join(folder, 'messages')
    const lines = records.map(({ format, table, record }) =>
      [format, table, record.key ?? '-', record.value ?? ''].join('\t'),
    )
    await writeFile(input, lines.map((line) => `${line}\n`).join(''))
    return changesOf(await read(folder, input))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const changesOf = (lines: readonly string[]): ReadChange[] => lines.map((line) => JSON.parse(line))

async function finished(command: string, ...args: readonly string[]): Promise<readonly string[]> {
  const process = await run(command, args)
  const code = await process.exited
  if (code !== 0) throw new Error(`${command} ended with ${code}:\n${process.lines.slice(-20).join('\n')}`)
  return process.stdout
}
