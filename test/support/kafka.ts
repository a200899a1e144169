/** A real Apache Kafka (KRaft, one broker) from the jars in Maven Central. */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheFolder } from './cache.ts'
import { freePorts, hasCommand, run, type Running } from './process.ts'
import type { Availability } from './require.ts'

const VERSION = process.env['TIDEWIRE_KAFKA_VERSION'] ?? '3.9.1'

export interface KafkaOptions {
  /** Broker settings beyond the ones of {@link startKafka}. */
  readonly properties?: Readonly<Record<string, string>>
  /** Security of a second listener, whose settings stand in `properties` under `listener.name.secure.`. */
  readonly secure?: 'SSL' | 'SASL_SSL' | 'SASL_PLAINTEXT'
  /** Options of the Java machine; replace the default ones, which favour a quick start. */
  readonly java?: readonly string[]
}

/** A broker whose data and port outlive a restart. */
export interface KafkaBroker extends AsyncDisposable {
  readonly bootstrap: string
  /** Address of the second listener; nobody listens there where none was asked for. */
  readonly secureBootstrap: string
  readonly pid: number
  /** SIGSTOP: connections stay open, nothing is answered. */
  pause(): void
  resume(): void
  /** SIGKILL. */
  kill(): Promise<void>
  /** Starts it again after kill or stop. */
  restart(): Promise<void>
  stop(): Promise<void>
  /** Runs one of Kafka's own tools by its Java class; resolves to its output, rejects when it fails. */
  tool(mainClass: string, ...args: string[]): Promise<string>
}

let hasJava: boolean | undefined

/** True when the jars and Java are there. */
export async function available(): Promise<Availability> {
  hasJava ??= hasCommand('java', '-version')
  if (!hasJava) return 'Java is missing (Debian: apt-get install default-jdk-headless)'
  if (!existsSync(join(jars(), 'complete'))) return 'the jars of Apache Kafka are missing (run: npm run setup:test)'
  return true
}

const jars = (): string => cacheFolder('kafka', VERSION)

/** Fetches the jars with Maven; does nothing where they are already there. */
export async function install(): Promise<void> {
  const folder = jars()
  if (existsSync(join(folder, 'complete'))) return
  const build = await mkdtemp(join(tmpdir(), 'tidewire-kafka-'))
  try {
    await writeFile(join(build, 'pom.xml'), POM)
    const maven = await run('mvn', ['-B', '-q', 'dependency:copy-dependencies', `-DoutputDirectory=${folder}`], {
      cwd: build,
    })
    if ((await maven.exited) !== 0) throw new Error(`mvn failed:\n${maven.lines.slice(-20).join('\n')}`)
    await writeFile(join(folder, 'complete'), '')
  } finally {
    await rm(build, { recursive: true, force: true })
  }
}

/** `kafka-tools` brings Kafka Connect along, which nobody here needs; its own parts do with one library. */
const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidewire</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${VERSION}</version></dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>${VERSION}</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
    </dependency>
    <dependency><groupId>net.sourceforge.argparse4j</groupId><artifactId>argparse4j</artifactId><version>0.7.0</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`

const LOGGING = `log4j.rootLogger=WARN, stdout
log4j.logger.kafka.server.KafkaRaftServer=INFO
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d %p %c %m%n
`

const QUICK_START = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']

/** Starts a broker on free ports; topics are not created by themselves. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaBroker> {
  const [node] = await freeNodes(1)
  if (node === undefined) throw new TypeError('one node was asked for')
  return startNode(node, [node], randomId(), options)
}

/** Starts a cluster; each of its brokers lists the others. */
export async function startKafkaCluster(count: number, options: KafkaOptions = {}): Promise<KafkaBroker[]> {
  const nodes = await freeNodes(count)
  const clusterId = randomId()
  return Promise.all(nodes.map((node) => startNode(node, nodes, clusterId, options)))
}

interface Node {
  readonly id: number
  readonly port: number
  readonly controllerPort: number
  readonly securePort: number
}

async function freeNodes(count: number): Promise<Node[]> {
  const ports = await freePorts(3 * count)
  return Array.from({ length: count }, (_, i) => {
    const [port = 0, controllerPort = 0, securePort = 0] = ports.slice(3 * i)
    return { id: i + 1, port, controllerPort, securePort }
  })
}

async function startNode(
  node: Node,
  nodes: readonly Node[],
  clusterId: string,
  options: KafkaOptions,
): Promise<KafkaBroker> {
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-kafka-'))
  const java = [...(options.java ?? QUICK_START), '-cp', join(jars(), '*')]
  const logging = `-Dlog4j.configuration=file:${join(folder, 'log4j.properties')}`
  // What Kafka's storage tool would write.
  const meta = `version=1\ncluster.id=${clusterId}\nnode.id=${node.id}\ndirectory.id=${randomId()}\n`
  await mkdir(join(folder, 'data'))
  await writeFile(join(folder, 'log4j.properties'), LOGGING)
  await writeFile(join(folder, 'data', 'meta.properties'), meta)
  await writeFile(join(folder, 'server.properties'), serverProperties(folder, node, nodes, options))

  const start = (): Promise<Running> =>
    run('java', [...java, logging, 'kafka.Kafka', join(folder, 'server.properties')], {
      ready: /Kafka Server started/,
      readyWithinMs: 120_000,
    })
  let broker = await start()

  return {
    bootstrap: `127.0.0.1:${node.port}`,
    secureBootstrap: `127.0.0.1:${node.securePort}`,
    get pid() {
      return broker.pid
    },
    pause: () => broker.kill('SIGSTOP'),
    resume: () => broker.kill('SIGCONT'),
    async kill() {
      broker.kill('SIGKILL')
      await broker.exited
    },
    async restart() {
      if (broker.alive) await broker.stop(60_000)
      broker = await start()
    },
    async stop() {
      await broker.stop(60_000)
    },
    async tool(mainClass, ...args) {
      const tool = await run('java', ['-Xmx512m', '-cp', join(jars(), '*'), logging, mainClass, ...args])
      if ((await tool.exited) !== 0) throw new Error(`${mainClass} failed:\n${tool.lines.slice(-20).join('\n')}`)
      return tool.stdout.join('\n')
    },
    async [Symbol.asyncDispose]() {
      await broker[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

const randomId = (): string =>
  Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url').replace(/^-/, 'A')

function serverProperties(folder: string, node: Node, nodes: readonly Node[], options: KafkaOptions): string {
  const { port, controllerPort, securePort } = node
  const replicas = String(nodes.length)
  const secure = options.secure === undefined ? '' : `,SECURE://127.0.0.1:${securePort}`
  const settings: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': String(node.id),
    'controller.quorum.voters': nodes.map((each) => `${each.id}@127.0.0.1:${each.controllerPort}`).join(','),
    'controller.listener.names': 'CONTROLLER',
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}${secure}`,
    'listener.security.protocol.map': `PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:${options.secure ?? 'PLAINTEXT'}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}${secure}`,
    'log.dirs': join(folder, 'data'),
    'offsets.topic.replication.factor': replicas,
    'offsets.topic.num.partitions': '1',
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '1',
    'group.initial.rebalance.delay.ms': '0',
    'auto.create.topics.enable': 'false',
    'log.cleaner.enable': 'false',
    // A killed broker may come back after this, not after 9 s.
    'broker.session.timeout.ms': '1000',
    'broker.heartbeat.interval.ms': '200',
    ...options.properties,
  }
  return Object.entries(settings)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('')
}
