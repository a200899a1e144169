// Clients that others wrote talk to the playground's SQL port: PyMySQL and MariaDB's command line client.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'

import { silentLog } from '../../src/base/log.ts'
import { startPlayground } from '../../src/playground/playground.ts'
import type { Playground } from '../../src/playground/playground.ts'
import { available as pythonAvailable, python } from '../support/consumer.ts'
import { hasCommand } from '../support/process.ts'
import { requireOrSkip } from '../support/require.ts'
import type { Availability } from '../support/require.ts'

const execute = promisify(execFile)

const clientAvailable = async (): Promise<Availability> =>
  hasCommand('mysql', '--version') || 'the command mysql is missing (Debian: mariadb-client)'

function start(): Promise<Playground> {
  const options = { host: '127.0.0.1', pdPort: 0, sqlPort: 0, adminPort: 0, stores: 3, log: silentLog }
  return startPlayground(options, AbortSignal.timeout(30_000))
}

const portOf = ({ sql }: Playground): string => sql.split(':')[1] ?? ''

const PROGRAM = `
import datetime, decimal, sys
import pymysql
db = pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="root", database="test")
cursor = db.cursor()
cursor.execute("""CREATE TABLE p (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(50), b BLOB, d DATETIME(6), t TIME, dt DATE,
  dc DECIMAL(12,3), f FLOAT, j JSON, u BIGINT UNSIGNED)""")
row = ("h\\u00e9llo '\\\\ \\n", b"\\x00\\xff\\xfe'\\\\", datetime.datetime(2024, 1, 2, 3, 4, 5, 678901), datetime.timedelta(hours=5, minutes=3),
  datetime.date(2024, 2, 29), decimal.Decimal("123456.789"), 1.25, '{"a": "\\u00fc"}', 2**64 - 1)
cursor.execute("INSERT INTO p (s,b,d,t,dt,dc,f,j,u) VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s)", row)
assert cursor.lastrowid == 1 and cursor.rowcount == 1
db.commit()
cursor.execute("SELECT s,b,d,t,dt,dc,f,j,u FROM p")
assert cursor.fetchall() == (row,), "read back differently"
cursor.executemany("INSERT INTO p (s) VALUES (%s)", [("r%d" % i,) for i in range(300)])
db.rollback()
cursor.execute("SELECT COUNT(*) FROM p")
assert cursor.fetchone() == (1,)
try:
  cursor.execute("INSERT INTO p (id) VALUES (1)")
  raise SystemExit("a duplicate key was accepted")
except pymysql.err.IntegrityError as error:
  assert error.args[0] == 1062, error
db.select_db("mysql")
db.ping()
print("ok")
`

test('PyMySQL connects, writes every kind of value and reads it back', async (t) => {
  if (!(await requireOrSkip(t, pythonAvailable))) return
  await using playground = await start()
  const { stdout } = await execute(python(), ['-c', PROGRAM, portOf(playground)], { timeout: 30_000 })
  assert.equal(stdout.trim(), 'ok')
})

test('the mysql command line client connects, runs scripts and shows errors', async (t) => {
  if (!(await requireOrSkip(t, clientAvailable))) return
  await using playground = await start()
  const mysql = (...args: string[]): Promise<{ stdout: string; stderr: string }> =>
    execute('mysql', ['-h127.0.0.1', `-P${portOf(playground)}`, '-uroot', ...args], { timeout: 30_000 })
  const script = `CREATE TABLE c (id INT PRIMARY KEY, v VARCHAR(10)); INSERT INTO c VALUES (1, 'a'), (2, NULL);
    BEGIN; DELETE FROM c; ROLLBACK; SELECT * FROM c; SHOW TABLES`
  const { stdout } = await mysql('test', '-N', '-e', script)
  assert.deepEqual(stdout.split('\n').slice(0, 3), ['1\ta', '2\tNULL', 'c'])
  assert.match((await mysql('-e', 'status')).stdout, /TiDB/)
  await assert.rejects(mysql('test', '-e', 'SELECT * FROM nope'), /ERROR 1146 \(42S02\)/)
  await assert.rejects(mysql('-p1', '-e', 'SELECT 1'), /ERROR 1045/)
})
