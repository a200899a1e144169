import assert from 'node:assert/strict'
import { test } from 'node:test'

import { checkServerVersion } from './version.ts'

for (const version of [
  '7.1.0',
  'v7.1.0-alpha',
  '8.5.0',
  'v8.5.1-20-gabcdef0-dev',
  '9.0.0-beta.2',
  'v8.5.0-fips',
  '7.5.3-dirty',
])
  test(`a store of version ${version} is accepted`, () => checkServerVersion('TiKV', version))

for (const version of ['7.0.9', '5.0.0', '10.0.0', '', 'nightly'])
  test(`a store of version '${version}' is refused`, () => {
    assert.throws(() => checkServerVersion('TiKV', version), /ErrVersionIncompatible/)
  })

test('the refusal says what is needed', () => {
  const text = /TiKV 5\.0\.0 is not supported, the minimal compatible version is 7\.1\.0-alpha/
  assert.throws(() => checkServerVersion('TiKV', 'v5.0.0'), text)
})
