/** Debezium's connector for MariaDB in Kafka Connect, standalone. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePorts, run } from '../../test/support/process.ts'
import { TABLES } from '../tables.ts'
import { jars } from './jars.ts'
import { JAVA, type Peer, PRODUCER, propertiesText } from './peer.ts'

const VERSION = '3.5.0.Final'
const CONNECT = '3.9.1'

const LOGGING = `log4j.rootLogger=WARN, stdout
log4j.logger.io.debezium.connector.binlog=INFO
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%p %c %m%n
`

export const debezium: Peer = {
  name: 'debezium',
  topics: TABLES.map(({ name }) => `debezium.bench.${name}`),
  async start({ mysql, bootstrap, folder }) {
    const classPath = await jars(`debezium-${VERSION}`, [
      `io.debezium:debezium-connector-mariadb:${VERSION}`,
      `org.apache.kafka:connect-runtime:${CONNECT}`,
      `org.apache.kafka:connect-json:${CONNECT}`,
      'org.slf4j:slf4j-reload4j:1.7.36',
    ])
    const [port = 0] = await freePorts(1)
    const json = 'org.apache.kafka.connect.json.JsonConverter'
    const worker = {
      'bootstrap.servers': bootstrap,
      listeners: `http://127.0.0.1:${port}`,
      'key.converter': json,
      'key.converter.schemas.enable': 'false',
      'value.converter': json,
      'value.converter.schemas.enable': 'false',
      'offset.storage.file.filename': join(folder, 'offsets'),
      ...Object.fromEntries(Object.entries(PRODUCER).map(([key, value]) => [`producer.${key}`, value])),
    }
    const connector = {
      name: 'debezium',
      'connector.class': 'io.debezium.connector.mariadb.MariaDbConnector',
      'tasks.max': 1,
      'database.hostname': mysql.host,
      'database.port': mysql.port,
      'database.user': 'root',
      'database.password': '',
      'database.server.id': 4711,
      'database.ssl.mode': 'disable',
      'database.include.list': 'bench',
      'table.include.list': TABLES.map(({ name }) => `bench.${name}`).join(','),
      'topic.prefix': 'debezium',
      'schema.history.internal.kafka.bootstrap.servers': bootstrap,
      'schema.history.internal.kafka.topic': 'debezium-history',
      'include.schema.changes': 'false',
      // It would take a stop of a minute for a lost connection.
      'connect.keep.alive.interval.ms': 3_600_000,
      // Tables only: rows are what the binlog brings.
      'snapshot.mode': 'no_data',
      // Four times the defaults, as its documentation advises for many changes.
      'max.batch.size': 8192,
      'max.queue.size': 32768,
    }
    const file = async (name: string, text: string): Promise<string> => {
      await writeFile(join(folder, name), text)
      return join(folder, name)
    }
    const args = [
      ...JAVA,
      `-Dlog4j.configuration=file:${await file('log4j.properties', LOGGING)}`,
      '-cp',
      join(classPath, '*'),
      'org.apache.kafka.connect.cli.ConnectStandalone',
      await file('worker.properties', propertiesText(worker)),
      await file('connector.properties', propertiesText(connector)),
    ]
    return run('java', args, { ready: /Keepalive thread is running|Connected to binlog/, readyWithinMs: 60_000 })
  },
}
