// Value expressions of event filters against a real MariaDB, which decides for itself what an expression is: those that the
// unit tests hold true, and random ones. TiDB's own server is not to be had here; where the two are known to differ, the
// generator keeps away.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createConnection, type Connection } from 'mysql2/promise'
import { parseRowTest } from '../../src/filter/expression/row-test.ts'
import { openTimeZone } from '../../src/tidb/time-zone.ts'
import { SAMPLE_SQL, sampleRow, sampleTable, TRUE_EXPRESSIONS } from '../support/expressions.ts'
import { available, startMariaDb } from '../support/mariadb.ts'
import { createRandom, type Random } from '../support/random.ts'
import { requireOrSkip } from '../support/require.ts'

const SEED = Number(process.env['TIDEWIRE_SEED'] ?? 1)
const COUNT = 1500

/** Syntax and functions of TiDB and MySQL that MariaDB lacks, or reads in another way. */
const NOT_IN_MARIADB = /->|member of|regexp_like|as json\)|find_in_set\('c', s\)|\bjson_type\(j->/

test(`expressions are what MariaDB says they are (seed ${SEED})`, async (t) => {
  if (!(await requireOrSkip(t, available))) return
  await using server = await startMariaDb('--character-set-server=utf8mb4')
  const sql = await createConnection({ host: server.host, port: server.port, user: 'root', charset: 'utf8mb4_bin' })
  try {
    await sql.query("set names utf8mb4 collate utf8mb4_bin, time_zone = '+08:00', sql_mode = ''")
    for (const statement of SAMPLE_SQL) await sql.query(statement)
    await sql.query('use shop')
    const known = TRUE_EXPRESSIONS.filter((one) => !NOT_IN_MARIADB.test(one))
    for (const one of known) assert.equal(await theirs(sql, quoted(one)), 'true', one)
    const different: string[] = []
    let errors = 0
    const random = generator(createRandom(SEED))
    for (let i = 0; i < COUNT; i++) {
      const one = random.boolean(1 + (i % 4))
      const [a, b] = [ours(one), await theirs(sql, quoted(one))]
      if (b === 'error') errors++
      if (a !== b) different.push(`${one}: ${a}, MariaDB ${b}`)
    }
    assert.deepEqual(different, [])
    assert.ok(errors < COUNT / 20, `${errors} errors prove nothing`)
    t.diagnostic(`${known.length} known and ${COUNT} random expressions, ${errors} of them errors`)
  } finally {
    await sql.end()
  }
})

type Outcome = 'true' | 'false' | 'null' | 'error'

const context = { zone: openTimeZone('+08:00'), now: Date.now }

function ours(expression: string): Outcome {
  const holds = (text: string): boolean =>
    parseRowTest({ place: 'test', text }).compile(sampleTable, context)(sampleRow)
  try {
    return holds(`(${expression}) is null`) ? 'null' : holds(`(${expression}) is true`) ? 'true' : 'false'
  } catch {
    return 'error'
  }
}

async function theirs(sql: Connection, expression: string): Promise<Outcome> {
  const outcome = `case when (${expression}\n) is null then 'null' when (${expression}\n) is true then 'true' else 'false' end`
  try {
    const [rows] = await sql.query(`select ${outcome} as found from t`)
    const found: unknown = Array.isArray(rows) && typeof rows[0] === 'object' && 'found' in rows[0] ? rows[0].found : ''
    return found === 'true' || found === 'false' || found === 'null' ? found : 'error'
  } catch {
    return 'error'
  }
}

/** A column whose name MariaDB reserves. */
const quoted = (expression: string): string => expression.replace(/(?<!`)\bdec\b(?!`)/g, '`dec`')

/** Random expressions of a depth, by the kind of their value. */
function generator(random: Random) {
  const pick = (...makers: readonly (string | (() => string))[]): string => {
    const maker = random.pick(makers)
    return typeof maker === 'string' ? maker : maker()
  }
  const comparison = (): string => pick('=', '<>', '<', '<=', '>', '>=', '<=>')
  const number = (depth: number): string => {
    if (depth <= 0)
      return pick('n', 'f', 'dec', 'nothing', '0', '1', '-3', '2.5', '1.25', '7', '100', '1e2', 'true', 'null')
    const one = (): string => number(depth - 1)
    const when = (): string => time(depth - 1)
    return pick(
      () => `(${one()} ${pick('+', '-', '*', '/', 'div')} ${one()})`,
      () => `if(${boolean(depth - 1)}, ${one()}, ${one()})`,
      () => `${pick('coalesce', 'greatest', 'least', 'nullif')}(${one()}, ${one()})`,
      () => `${pick('abs', 'floor', 'ceil', '-')}(${one()})`,
      () => `${pick('round', 'truncate')}(${one()}, 1)`,
      () => `length(${text(depth - 1)})`,
      () => `locate('e', ${text(depth - 1)})`,
      () => `datediff(${when()}, ${when()})`,
      () => `timestampdiff(${pick('day', 'month', 'hour', 'year', 'week', 'quarter', 'minute')}, ${when()}, ${when()})`,
      () =>
        `${pick('year', 'month', 'day', 'dayofweek', 'weekday', 'dayofyear', 'quarter', 'to_days', 'weekofyear')}(${when()})`,
      () => `week(${when()}, ${random.below(8)})`,
      () => `cast(${one()} as ${pick('signed', 'decimal(12,3)')})`,
    )
  }
  const text = (depth: number): string => {
    if (depth <= 0) return pick('name', 'ci', "'abc'", "'Müller'", "'ABC '", "''", "'a%'", "'12'", 'e', 'null')
    const one = (): string => text(depth - 1)
    return pick(
      () => `concat(${one()}, ${one()})`,
      () => `${pick('lower', 'upper', 'trim', 'reverse', 'hex')}(${one()})`,
      () => `${pick('left', 'right')}(${one()}, ${random.below(5)})`,
      () => `substring(${one()}, ${random.below(7) - 3}, ${random.below(4)})`,
      () => `replace(${one()}, 'a', 'x')`,
      () => `${pick('lpad', 'rpad')}(${one()}, ${random.below(7)}, 'ab')`,
      () => `substring_index(${one()}, 'e', ${random.below(5) - 2})`,
      () => `case when ${boolean(depth - 1)} then ${one()} else ${one()} end`,
    )
  }
  const time = (depth: number): string => {
    if (depth <= 0) return pick('d', 'dt', 'ts', "'2024-03-01'", "'2023-12-31 23:00:01'", "'1999-01-01'")
    const unit = pick('day', 'month', 'hour', 'minute', 'year', 'week', 'quarter', 'second')
    return pick(
      () => `date_add(${time(depth - 1)}, interval ${random.below(90) - 45} ${unit})`,
      () => `last_day(${time(depth - 1)})`,
      () => `date(${time(depth - 1)})`,
    )
  }
  const boolean = (depth: number): string => {
    if (depth <= 0) return pick('true', 'false', 'n > 0', 'nothing = 1', "name like 'S%'", 'null')
    const one = (): string => boolean(depth - 1)
    return pick(
      () => `(${number(depth - 1)} ${comparison()} ${number(depth - 1)})`,
      () => `(${text(depth - 1)} ${comparison()} ${text(depth - 1)})`,
      () => `(${pick('d', 'dt', 'ts')} ${comparison()} ${time(depth - 1)})`,
      () => `(${one()} ${pick('and', 'or', 'xor')} ${one()})`,
      () => `(not ${one()})`,
      () => `(${number(depth - 1)} in (${number(0)}, ${number(depth - 1)}, ${number(0)}))`,
      () => `(${number(depth - 1)} between ${number(depth - 1)} and ${number(0)})`,
      () => `(${text(depth - 1)} like ${pick("'%a%'", "'_b%'", "'M%'", "'a%'", "'%'")})`,
      () => `(${number(depth - 1)} is null)`,
      () => `(${one()} is ${pick('true', 'not true', 'false')})`,
    )
  }
  return { boolean }
}
