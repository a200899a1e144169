import { once } from 'node:events'

import { systemClock } from '../base/clock.ts'
import { createLog, openLogStream } from '../base/unified-log.ts'
import { startPlayground, startSqlFront } from '../playground/playground.ts'
import { stringifyJson } from '../tidb/json-big.ts'
import type { CommandContext } from './command.ts'
import type { FlagValues } from './flags.ts'
import { UsageError } from './flags.ts'

const NOTICE = 'cdc playground is a simulated TiDB cluster for demos and tests; never keep data in it that you need\n'

/** Prints one line of JSON with the addresses when every port answers, then runs until it is interrupted. */
export async function run(context: CommandContext): Promise<number> {
  const { flags, signal } = context
  const ports = {
    pdPort: portOf(flags, 'pd-port'),
    sqlPort: portOf(flags, 'sql-port'),
    adminPort: portOf(flags, 'admin-port'),
  }
  const stores = flags.int('stores')
  if (stores < 1 || stores > 100)
    throw new UsageError(`invalid argument "${stores}" for "--stores" flag: must be from 1 to 100`)
  const dataDir = flags.text('data-dir')
  const etcd = flags.text('etcd')
  if (etcd !== '' && !(URL.canParse(etcd) && new URL(etcd).protocol === 'http:'))
    throw new UsageError(`invalid argument "${etcd}" for "--etcd" flag: must be a URL http://host:port`)
  process.stderr.write(NOTICE)

  const log = createLog({ level: 'warn', format: 'text', sink: openLogStream(2), clock: systemClock })
  const pd = flags.text('pd')
  if (pd !== '') {
    await using front = await startSqlFront(
      { host: flags.text('host'), port: ports.sqlPort, pdEndpoint: pd, log },
      signal,
    )
    context.print(stringifyJson({ pd, sql: front.address }))
    if (!signal.aborted) await once(signal, 'abort')
    return 0
  }
  const options = { host: flags.text('host'), ...ports, stores, log }
  await using playground = await startPlayground(
    { ...options, ...(dataDir === '' ? {} : { dataDir }), ...(etcd === '' ? {} : { etcd }) },
    signal,
  )
  const { sql, admin, stores: addresses } = playground
  context.print(stringifyJson({ pd: playground.pd, sql, admin, stores: addresses }))
  if (!signal.aborted) await once(signal, 'abort')
  return 0
}

function portOf(flags: FlagValues, name: string): number {
  const port = flags.int(name)
  if (port >= 0 && port <= 65_535) return port
  throw new UsageError(`invalid argument "${port}" for "--${name}" flag: must be from 0 to 65535`)
}
