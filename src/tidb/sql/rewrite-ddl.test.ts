import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rewriteDdl } from './rewrite-ddl.ts'

const cases: readonly (readonly [string, string])[] = [
  ['create table t (id int primary key)', 'create table t (id int primary key)'],
  [
    'create table t (id bigint auto_random(5, 54) primary key clustered) shard_row_id_bits=4',
    'create table t (id bigint /*T![auto_rand] auto_random(5, 54) */ primary key /*T![clustered_index] clustered */) /*T! SHARD_ROW_ID_BITS = 4 */',
  ],
  [
    "CREATE TABLE t (a INT, PRIMARY KEY (a) NONCLUSTERED) PLACEMENT POLICY=`p1` COMMENT = 'auto_random'",
    "CREATE TABLE t (a INT, PRIMARY KEY (a) /*T![clustered_index] NONCLUSTERED */) COMMENT = 'auto_random'",
  ],
  [
    "create table t (a datetime) ttl = a + interval 1 day ttl_enable = 'ON' ttl_job_interval='2h'",
    "create table t (a datetime) /*T![ttl] ttl = a + interval 1 day */ /*T![ttl] TTL_ENABLE = 'OFF' */ /*T![ttl] TTL_JOB_INTERVAL = '2h' */",
  ],
  ['create table t (`auto_random` int)', 'create table t (`auto_random` int)'],
  [
    'create table t (id bigint /*T![auto_rand] AUTO_RANDOM(5) */)',
    'create table t (id bigint /*T![auto_rand] AUTO_RANDOM(5) */)',
  ],
  ['alter table t auto_id_cache 1', 'alter table t /*T![auto_id_cache] AUTO_ID_CACHE = 1 */'],
  ["alter table t comment 'it''s", "alter table t comment 'it''s"],
]

for (const [query, expected] of cases)
  test(`${query} goes downstream with TiDB's features in comments`, () => assert.equal(rewriteDdl(query, 0n), expected))

test('quotes mean the same under every SQL mode', () => {
  const ansi = 4n
  assert.equal(rewriteDdl('create table "a`b" ("c""d" int)', ansi), 'create table `a``b` (`c"d` int)')
  assert.equal(
    rewriteDdl(String.raw`alter table t comment "it's \"so\" """`, 0n),
    `alter table t comment 'it''s "so" "'`,
  )
  assert.equal(rewriteDdl(String.raw`alter table t comment "a\"`, 1n << 20n), String.raw`alter table t comment 'a\'`)
})
