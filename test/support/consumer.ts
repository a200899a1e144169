/** Runs consumer.py: reads topics with a client that is not ours. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from './cache.ts'
import { hasCommand, run, type Running } from './process.ts'
import type { Availability } from './require.ts'

export interface ConsumedRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  /** base64 */
  readonly key: string | null
  /** base64 */
  readonly value: string | null
}

/** What the interpreter has, by the names that it imports. */
const PACKAGES = ['confluent-kafka[avro,schemaregistry]', 'PyMySQL', 'moto[glue,s3,server]', 'duckdb']
const MODULES = 'confluent_kafka.schema_registry.avro, duckdb, fastavro, moto.server, pymysql'

/** The interpreter that has {@link PACKAGES}. */
export const python = (): string => join(cacheFolder('venv'), 'bin', 'python')

let hasPackages = false

export async function available(): Promise<Availability> {
  hasPackages ||= existsSync(python()) && hasCommand(python(), '-c', `import ${MODULES}`)
  if (hasPackages) return true
  return `the Python packages ${PACKAGES.join(', ')} are missing (run: npm run setup:test)`
}

/** Makes a virtual environment with the packages; needs python3 with venv, and PyPI. */
export async function install(): Promise<void> {
  if ((await available()) === true) return
  const folder = cacheFolder('venv')
  for (const [command, ...args] of [
    ['python3', '-m', 'venv', folder],
    [python(), '-m', 'pip', 'install', '-q', '--disable-pip-version-check', ...PACKAGES],
  ] as const) {
    const step = await run(command, args)
    if ((await step.exited) !== 0) throw new Error(`${command} failed:\n${step.lines.slice(-20).join('\n')}`)
  }
}

const script = join(import.meta.dirname, 'consumer.py')

/** Every record that the topics hold now, in the order of arrival per partition. */
export async function consumeAll(bootstrap: string, topics: readonly string[]): Promise<ConsumedRecord[]> {
  await using reader = await run(python(), [
    script,
    '--bootstrap',
    bootstrap,
    '--topics',
    topics.join(','),
    '--until-end',
  ])
  const code = await reader.exited
  if (code !== 0) throw new Error(`consumer.py ended with ${code}:\n${reader.lines.slice(-20).join('\n')}`)
  return reader.stdout.map((line) => JSON.parse(line))
}

/** Follows the topics; lines of `stdout` are records and end-of-partition marks as consumer.py says. */
export async function follow(bootstrap: string, topics: readonly string[]): Promise<Running> {
  return run(python(), [script, '--bootstrap', bootstrap, '--topics', topics.join(',')])
}
