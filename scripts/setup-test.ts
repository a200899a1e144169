// Installs what the tests against real servers need and says what it could not install; `npm run setup:test`.
import { spawnSync } from 'node:child_process'
import * as apicurio from '../test/support/apicurio.ts'
import * as consumer from '../test/support/consumer.ts'
import * as etcd from '../test/support/etcd.ts'
import * as kafka from '../test/support/kafka.ts'
import { hasCommand } from '../test/support/process.ts'
import * as readers from '../test/support/readers.ts'
import * as tikvJava from '../test/support/tikv-java.ts'

/** Commands that come from Debian packages. */
const PACKAGES: readonly (readonly [command: string, args: readonly string[], name: string])[] = [
  ['javac', ['-version'], 'default-jdk-headless'],
  ['mvn', ['--version'], 'maven'],
  ['etcd', ['--version'], 'etcd-server'],
  ['mysql', ['--version'], 'mariadb-client'],
  ['mariadbd', ['--version'], 'mariadb-server'],
  ['python3', ['-c', 'import venv, ensurepip'], 'python3-venv'],
  ['go', ['version'], 'golang-go'],
]

const missing = PACKAGES.filter(([command, args]) => !hasCommand(command, ...args)).map(([, , name]) => name)
if (missing.length > 0) installPackages(missing)
for (const [what, install] of [
  ["Apache Kafka's jars", kafka.install],
  ["the jars of TiKV's Java client", tikvJava.install],
  ['Apicurio, a schema registry', apicurio.install],
  ['Python packages', consumer.install],
  ['jars of Flink and Debezium', readers.install],
] as const)
  try {
    await install()
  } catch (error) {
    console.log(`setup: ${what}: ${error instanceof Error ? error.message : String(error)}`)
  }

const answers = await Promise.all([
  kafka.available(),
  etcd.available(),
  consumer.available(),
  apicurio.available(),
  tikvJava.available(),
  readers.available(),
])
for (const answer of answers) if (answer !== true) console.log(`setup: ${answer}`)
for (const [command, args, name] of PACKAGES)
  if (!hasCommand(command, ...args)) console.log(`setup: ${command} is missing (Debian: apt-get install ${name})`)

function installPackages(names: readonly string[]): void {
  if (process.getuid?.() !== 0 || !hasCommand('apt-get', '--version')) return
  console.log(`setup: apt-get install ${names.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  spawnSync('apt-get', ['update', '-qq'], { stdio: ['ignore', 'ignore', 'inherit'], env })
  const install = ['install', '-y', '-qq', '--no-install-recommends', ...names]
  spawnSync('apt-get', install, { stdio: ['ignore', 'ignore', 'inherit'], env })
  // Debian starts a server that it has just installed; the tests run their own.
  for (const service of ['etcd', 'mariadb'])
    if (names.includes(`${service}-server`)) spawnSync('service', [service, 'stop'], { stdio: 'ignore' })
}
