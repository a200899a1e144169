/** Maxwell's daemon. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { run } from '../../test/support/process.ts'
import { jars } from './jars.ts'
import { JAVA, type Peer, PRODUCER, propertiesText } from './peer.ts'

/** The newest that Maven Central has. */
const VERSION = '1.22.6'

export const maxwell: Peer = {
  name: 'maxwell',
  topics: ['maxwell'],
  async start({ mysql, bootstrap, folder }) {
    const classPath = await jars(`maxwell-${VERSION}`, [`com.zendesk:maxwell:${VERSION}`])
    const settings = {
      log_level: 'INFO',
      host: mysql.host,
      port: mysql.port,
      user: 'root',
      password: '',
      replica_server_id: 4712,
      jdbc_options: 'useSSL=false&serverTimezone=UTC',
      filter: 'exclude: *.*, include: bench.*',
      producer: 'kafka',
      producer_partition_by: 'primary_key',
      kafka_topic: 'maxwell',
      'kafka.bootstrap.servers': bootstrap,
      ...Object.fromEntries(Object.entries(PRODUCER).map(([key, value]) => [`kafka.${key}`, value])),
    }
    const config = join(folder, 'maxwell.properties')
    await writeFile(config, propertiesText(settings))
    const classes = await nashorn(folder)
    const args = [
      ...JAVA,
      '-cp',
      `${join(classPath, '*')}:${classes}`,
      'com.zendesk.maxwell.Maxwell',
      '--config',
      config,
    ]
    return run('java', args, {
      ready: /Binlog connected/,
      readyWithinMs: 60_000,
    })
  },
}

/**
 * A class that Maxwell asks every value whether it is one: an object of Java's own JavaScript engine, which Java has no
 * more since 15. None ever comes, as no filter in JavaScript is set.
 */
async function nashorn(folder: string): Promise<string> {
  const source = join(folder, 'jdk', 'nashorn', 'api', 'scripting', 'ScriptObjectMirror.java')
  await mkdir(dirname(source), { recursive: true })
  await writeFile(source, 'package jdk.nashorn.api.scripting; public final class ScriptObjectMirror {}')
  await using compiler = await run('javac', [source])
  if ((await compiler.exited) !== 0) throw new Error(`javac failed:\n${compiler.lines.join('\n')}`)
  return folder
}
