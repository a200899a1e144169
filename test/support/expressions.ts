import type { Value } from '../../src/event/row-change.ts'
import { wrapTable } from '../../src/event/wrap-table.ts'
import { Ts } from '../../src/tidb/ts.ts'
import { tableInfo } from './field-type.ts'

/** A table with a column of every kind that expressions know, and its one row; `shop.t` in MySQL's own words below. */
export const sampleTable = wrapTable(
  tableInfo(
    {
      id: 'bigint not null primary',
      n: 'int',
      u: 'bigint unsigned',
      dec: 'decimal(20,4)',
      f: 'double',
      name: 'varchar(50)',
      ci: 'varchar(50) collate utf8mb4_general_ci',
      bytes: 'varbinary(20)',
      d: 'date',
      dt: 'datetime(3)',
      ts: 'timestamp',
      t: 'time',
      y: 'year',
      e: 'enum(red,green,blue)',
      s: 'set(a,b,c)',
      bits: 'bit(8)',
      j: 'json',
      nothing: 'int',
      strict: 'varchar(9) collate utf8mb4_0900_bin',
    },
    { pkIsHandle: true },
  ),
  'shop',
  Ts(1n),
  100n,
)

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
export const sampleRow: readonly Value[] = [
  9007199254740993n,
  -5,
  18446744073709551615n,
  '12.3400',
  0.5,
  text('Straße 5 '),
  text('Müller'),
  Uint8Array.of(0, 0xff, 0x41),
  '2024-02-29',
  '2024-02-29 23:59:59.500',
  '2024-03-01 00:00:00',
  '-12:34:56',
  2024,
  2,
  5,
  65,
  '{"a": [1, 2, {"b": "x"}], "n": null, "big": 9007199254740993, "s": "text"}',
  null,
  text('pad '),
]

/** Creates and fills `shop.t` in a server that reads text as utf8mb4 and times in +08:00. */
export const SAMPLE_SQL: readonly string[] = [
  'create database shop',
  `create table shop.t (id bigint not null primary key, n int, u bigint unsigned, \`dec\` decimal(20,4), f double,
    name varchar(50) collate utf8mb4_bin, ci varchar(50) collate utf8mb4_general_ci, bytes varbinary(20), d date,
    dt datetime(3), ts timestamp, t time, y year, e enum('red','green','blue') collate utf8mb4_bin,
    s set('a','b','c') collate utf8mb4_bin, bits bit(8), j json, nothing int,
    strict varchar(9) collate utf8mb4_nopad_bin) charset utf8mb4`,
  `insert into shop.t values (9007199254740993, -5, 18446744073709551615, 12.34, 0.5, 'Straße 5 ', 'Müller', x'00ff41',
    '2024-02-29', '2024-02-29 23:59:59.500', '2024-03-01 00:00:00', '-12:34:56', 2024, 2, 5, 65,
    '{"a": [1, 2, {"b": "x"}], "n": null, "big": 9007199254740993, "s": "text"}', null, 'pad ')`,
]

/** Expressions that are 1 for the row in TiDB; each stands for a rule. */
export const TRUE_EXPRESSIONS: readonly string[] = `
n = -5 and not n > 0
N = -5
shop.t.n = -5
\`n\` < 0
n between -5 and -5
n not between 0 and 9
n in (1, null, -5)
(n in (1, 2, null)) is null
n not in (1, 2, 3, 4, 5)
n in (1, 2, 3, -5, 9)
nothing is null and nothing is not true and nothing is unknown
nothing = 1 is null
(nothing = 1) is null
(nothing and false) = 0
(nothing and true) is null
(nothing or true) = 1
(nothing or false) is null
(nothing xor true) is null
not (nothing <=> 1)
nothing <=> null
not nothing is null or true
1 xor 0
1 || 0
1 && 1
!0
1 or 0 and 0
not 1 = 2
2 + 3 * 4 = 14
(2 + 3) * 4 = 20
7 div 2 = 3
-7 div 2 = -3
-7 % 3 = -1
7 mod 3 = 1
5 / 2 = 2.5
1 / 3 = 0.3333
1 / 0 is null
n % 0 is null
1.1 + 2.2 = 3.3
0.1 + 0.2 = 0.3
0.1e0 + 0.2e0 <> 0.3e0
1 << 3 | 1 = 9
~0 = 18446744073709551615
u = 18446744073709551615
u > 9223372036854775807
5 & 6 = 4
5 ^ 1 = 4
id = 9007199254740993
id <> 9007199254740992
id = '9007199254740993'
id <> '9007199254740992'
dec = 12.34
dec = '12.34'
dec > 12
dec < 12.35
f = 0.5
f = '0.5'
f < dec
n = '-5'
n = ' -5abc'
'abc' = 0
'10' > 9
'10' < '9'
0x41 = 'A'
0x41 + 0 = 65
x'4142' = 'AB'
b'1000001' + 0 = 65
0x41 = 65
bits = 65
bits = 0x41
name = 'Straße 5'
name <> 'straße 5'
name like 'Stra%5_'
name like 'S%'
name not like 's%'
name like 'Stra_e%'
'50%' like '50\\%'
'50x' not like '50\\%'
'a_b' like 'a|_b' escape '|'
'axb' not like 'a|_b' escape '|'
ci = 'MÜLLER'
ci = 'muller'
ci like 'M_LLER'
ci collate utf8mb4_bin <> 'müller'
ci regexp 'M.LLER'
name regexp '^Stra.*[0-9] $'
name not regexp 'xyz'
name rlike '5'
name = 'Straße 5 ' collate utf8mb4_general_ci
strict <> 'pad'
strict = 'pad '
bytes = x'00ff41'
binary 'a' <> 'A'
bytes <> 'A'
length(bytes) = 3
hex(bytes) = '00FF41'
d = '2024-02-29'
d = date '2024-02-29'
d = '2024-2-29'
d = 20240229
d < '2024-03-01 00:00:00'
d between '2024-01-01' and '2024-12-31'
dt > d
dt = '2024-02-29 23:59:59.5'
dt < ts
dt >= timestamp '2024-02-29 23:59:59.5'
dt > '2024-02-29'
ts = '2024-03-01'
ts = d + interval 1 day
d + interval 1 month = '2024-03-29'
date_sub('2024-03-31', interval 1 month) = '2024-02-29'
'2024-01-31' + interval 1 month = '2024-02-29'
date_add(dt, interval '1:30' minute_second) = '2024-03-01 00:01:29.5'
timestampdiff(month, '2024-01-31', '2024-02-29') = 0
timestampdiff(day, d, ts) = 1
timestampdiff(hour, '2024-01-02', '2024-01-01') = -24
timestampdiff(year, '2000-02-29', '2024-02-28') = 23
datediff(ts, d) = 1
year(d) = 2024 and month(d) = 2 and day(d) = 29 and quarter(d) = 1
hour(dt) = 23 and minute(dt) = 59 and second(dt) = 59 and microsecond(dt) = 500000
dayofweek(d) = 5 and weekday(d) = 3 and dayofyear(d) = 60
week('2024-01-01') = 0 and week('2024-01-01', 1) = 1 and weekofyear('2024-01-01') = 1
week('2008-02-20', 0) = 7 and week('2008-02-20', 1) = 8 and week('2008-12-31', 1) = 53
yearweek('1987-01-01') = 198652
last_day(d) = '2024-02-29' and to_days('1970-01-01') = 719528
date_format(dt, '%Y/%m/%d %H:%i:%s.%f %W %b %D') = '2024/02/29 23:59:59.500000 Thursday Feb 29th'
extract(year_month from d) = 202402
unix_timestamp(ts) = 1709222400
from_unixtime(1709222400) = '2024-03-01 00:00:00'
date(dt) = d
now() > '2020-01-01'
current_date >= '2020-01-01'
utc_timestamp() <= now() + interval 1 day
t = '-12:34:56'
t < 0
t < '00:00:00'
hour(t) = 12
time_to_sec(t) = -45296
sec_to_time(3661) = '01:01:01'
y = 2024
y = 24
y > 1999
e = 'green'
e = 2
e in ('red', 'green')
e <> 'Green'
e + 0 = 2
s = 'a,c'
s = 5
find_in_set('c', s) = 2
j->'$.a[0]' = 1
j->'$.a[last].b' = 'x'
j->>'$.a[2].b' = 'x'
j->'$.s' = 'text'
j->'$.n' is not null
j->'$.missing' is null
j->'$.big' = 9007199254740993
json_extract(j, '$.a[*]') = cast('[1, 2, {"b": "x"}]' as json)
json_contains(j, '2', '$.a')
json_contains(j->'$.a', '[1, 2]')
json_length(j) = 4 and json_length(j, '$.a') = 3
json_type(j->'$.n') = 'NULL' and json_type(j) = 'OBJECT'
json_contains_path(j, 'one', '$.x', '$.a')
not json_contains_path(j, 'all', '$.x', '$.a')
2 member of (j->'$.a')
'x' member of ('["x"]')
json_valid('{}') and not json_valid('{')
json_unquote('"a\\\\tb"') = 'a\tb'
json_overlaps('[1, 2]', '[2, 3]')
if(n < 0, 1, 0)
ifnull(nothing, 7) = 7
coalesce(null, nothing, n) = -5
nullif(n, -5) is null
nullif(n, 1) = -5
case when n > 0 then 0 when n < 0 then 1 end
case n when 1 then 'a' when -5 then 'b' else 'c' end = 'b'
isnull(nothing)
greatest(1, 3, 2) = 3 and least('b', 'a') = 'a'
greatest(1, null) is null
greatest('2024-01-01', d) = d
interval(5, 1, 5, 9) = 2
field('b', 'a', 'b') = 2 and elt(2, 'a', 'b') = 'b'
concat(name, n) = 'Straße 5 -5'
concat_ws('-', 'a', null, 'b') = 'a-b'
concat('a', null) is null
lower('ÄB') = 'äb' and ucase('äb') = 'ÄB'
length('äb') = 3 and char_length('äb') = 2
substring('abcdef', 2, 3) = 'bcd' and substr('abcdef' from -2) = 'ef' and mid('abc', 0) = ''
substring_index('a.b.c', '.', 2) = 'a.b' and substring_index('a.b.c', '.', -1) = 'c'
left('äbc', 2) = 'äb' and right('abc', 2) = 'bc'
trim('  a ') = 'a' and trim(leading 'x' from 'xxaxx') = 'axx' and trim(both 'ab' from 'ababcab') = 'c'
ltrim(' a') = 'a' and rtrim('a ') = 'a'
locate('b', 'abcb') = 2 and locate('b', 'abcb', 3) = 4 and instr('abc', 'c') = 3 and position('z' in 'abc') = 0
replace('a-b-c', '-', '+') = 'a+b+c' and reverse('äb') = 'bä' and repeat('ab', 2) = 'abab'
lpad('5', 3, '0') = '005' and rpad('5', 3, 'ab') = '5ab' and lpad('12345', 2, '0') = '12'
insert('abcdef', 2, 2, 'XY') = 'aXYdef' and strcmp('a', 'b') = -1
md5('a') = '0cc175b9c0f1b6a831c399e269772661' and crc32('a') = 3904355907
to_base64('abc') = 'YWJj' and from_base64('YWJj') = 'abc' and unhex('616263') = 'abc'
ascii('A') = 65 and ord('ä') = 50084 and bin(5) = '101' and hex(255) = 'FF'
regexp_like('ABC', 'b', 'i') and not regexp_like('ABC', 'b')
abs(n) = 5 and sign(n) = -1 and ceil(1.2) = 2 and floor(-1.2) = -2 and ceiling(-1.2) = -1
round(1.25, 1) = 1.3 and round(-1.5) = -2 and truncate(1.99, 1) = 1.9 and round(15, -1) = 20
round(2.5e0) = 2 and mod(7, 4) = 3 and power(2, 10) = 1024 and sqrt(16) = 4 and sqrt(-1) is null
cast('12abc' as signed) = 12 and cast(-1 as unsigned) = 18446744073709551615
cast(1.5 as signed) = 2 and cast('2024-02-29 10:00:00' as date) = d
cast(5 as char) = '5' and cast('abc' as char(2)) = 'ab' and cast(1.005 as decimal(10, 2)) = 1.01
convert('1', signed) = 1 and convert(name using utf8mb4) = name
cast('nonsense' as date) is null
(n, e) = (-5, 'green')
(n, 1) in ((1, 1), (-5, 1))
n = -5 /* a comment */ -- and more
'it''s' = "it's"
'a' 'b' = 'ab'
_utf8mb4'a' = n'a'
{d '2024-02-29'} = d
date '2024-02-29' = timestamp '2024-02-29 00:00:00'
true and not false
1 is true and 0 is false and null is not true
-n = 5 and - - n = -5
n + 1.5 = -3.5 and f + 1 = 1.5
bit_count(7) = 3
`
  .split('\n')
  .filter((line) => line !== '')
