/** A MariaDB whose binlog gets the rows that the simulated change feed has: the same values, half of them updates. */
import { createConnection } from 'mysql2/promise'
import { startMariaDb } from '../../test/support/mariadb.ts'
import { TABLES } from '../tables.ts'

export interface Source extends AsyncDisposable {
  readonly host: string
  readonly port: number
  /** Writes so many rows into the binlog, spread over the tables. Resolves when they are committed. */
  write(rows: number): Promise<void>
}

/** Different rows per table. */
const DISTINCT = 512
/** Rows of a transaction: few of them cost the peers more. */
const ROWS_PER_TRANSACTION = 100

export async function startSource(): Promise<Source> {
  const binlog = ['--log-bin=binlog', '--server-id=1', '--binlog-format=ROW', '--binlog-row-image=FULL']
  // A reader that is stopped while rows are written keeps its connection.
  const waits = ['--net-write-timeout=3600', '--net-read-timeout=3600', '--slave-net-timeout=3600']
  const memory = ['--innodb-buffer-pool-size=1G', '--innodb-log-file-size=1G', '--binlog-cache-size=1M']
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await startMariaDb(...binlog, ...waits, ...memory, '--binlog-annotate-row-events=OFF'))
  const { host, port } = server
  const sql = stack.adopt(await createConnection({ host, port, user: 'root' }), (connection) => connection.destroy())
  await sql.query('CREATE DATABASE bench')
  await sql.query('USE bench')
  for (const { ddl } of TABLES) await sql.query(ddl)
  // Values that rows are copied from; not in the binlog.
  await sql.query('SET sql_log_bin = 0')
  await sql.query('CREATE DATABASE images')
  for (const { name, ddl, columns } of TABLES) {
    await sql.query(ddl.replace(` ${name} `, ` images.${name} `))
    const values = Array.from({ length: DISTINCT + 1 }, (_, id) => [id, ...columns.map(({ value }) => value(id))])
    await sql.query(`INSERT INTO images.${name} VALUES ?`, [values])
  }
  await sql.query('SET sql_log_bin = 1')
  const owned = stack.move()
  let nextId = 1
  return {
    host,
    port,
    async write(rows) {
      const perTable = Math.round(rows / TABLES.length / 2)
      for (let done = 0; done < perTable; done += ROWS_PER_TRANSACTION, nextId += ROWS_PER_TRANSACTION) {
        const last = nextId + Math.min(ROWS_PER_TRANSACTION, perTable - done) - 1
        for (const { name, columns } of TABLES) {
          const names = columns.map((_, at) => `i.c${at + 2}`).join(', ')
          await sql.query(
            `INSERT INTO ${name} SELECT s.seq, ${names} FROM seq_${nextId}_to_${last} s
             JOIN images.${name} i ON i.id = s.seq % ${DISTINCT}`,
          )
          const changes = columns.map((_, at) => `t.c${at + 2} = i.c${at + 2}`).join(', ')
          await sql.query(
            `UPDATE ${name} t JOIN images.${name} i ON i.id = t.id % ${DISTINCT} + 1
             SET ${changes} WHERE t.id BETWEEN ${nextId} AND ${last}`,
          )
        }
      }
    },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  }
}
