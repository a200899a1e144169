/** A MariaDB whose binlog gets the rows that the simulated change feed has: the same values, half of them updates. */
import { createConnection } from 'mysql2/promise'
import { startMariaDb } from '../../test/support/mariadb.ts'
import { type BenchTable, TABLES } from '../tables.ts'

export interface Source extends AsyncDisposable {
  readonly host: string
  readonly port: number
  /**
   * Writes so many changes of rows into the binlog, spread over the tables, half of them updates. Resolves when they are
   * committed.
   */
  write(rows: number, rowsPerTransaction: RowsPerTransaction): Promise<void>
}

/** Different rows per table. */
const DISTINCT = 512
/** One, as in the simulated feed; or as many as a batch job writes, which cost the peers less each. */
export type RowsPerTransaction = 1 | 100
/** Rows of a statement, or of a call that makes a statement of each. */
const ROWS_PER_ROUND = 100

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
  for (const table of TABLES) await sql.query(procedureOf(table))
  await sql.query('SET sql_log_bin = 1')
  const owned = stack.move()
  let nextId = 1
  return {
    host,
    port,
    async write(rows, rowsPerTransaction) {
      const perTable = Math.round(rows / TABLES.length / 2)
      for (let done = 0; done < perTable; done += ROWS_PER_ROUND) {
        const last = nextId + Math.min(ROWS_PER_ROUND, perTable - done) - 1
        for (const table of TABLES)
          if (rowsPerTransaction === 1) await sql.query(`CALL fill_${table.name}(${nextId}, ${last})`)
          else for (const statement of changesOf(table, `${nextId}`, `${last}`)) await sql.query(statement)
        nextId = last + 1
      }
    },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  }
}

/** Inserts rows of these ids, then changes all their columns. */
function changesOf({ name, columns }: BenchTable, first: string, last: string): readonly string[] {
  const values = columns.map((_, at) => `i.c${at + 2}`).join(', ')
  const changes = columns.map((_, at) => `t.c${at + 2} = i.c${at + 2}`).join(', ')
  const ids = first === last ? `(SELECT ${first} AS seq)` : `seq_${first}_to_${last}`
  return [
    `INSERT INTO ${name} SELECT s.seq, ${values} FROM ${ids} s JOIN images.${name} i ON i.id = s.seq % ${DISTINCT}`,
    `UPDATE ${name} t JOIN images.${name} i ON i.id = t.id % ${DISTINCT} + 1
     SET ${changes} WHERE t.id BETWEEN ${first} AND ${last}`,
  ]
}

/** The same, each row by itself: every statement is a transaction of its own. */
function procedureOf(table: BenchTable): string {
  const [insert, update] = changesOf(table, 'first_id', 'first_id')
  return `CREATE PROCEDURE fill_${table.name}(first_id BIGINT, last_id BIGINT)
    WHILE first_id <= last_id DO
      ${insert};
      ${update};
      SET first_id = first_id + 1;
    END WHILE`
}
