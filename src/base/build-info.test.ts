import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { PRODUCT_VERSION } from './build-info.ts'

test('the version is that of package.json', () => {
  const text = readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')
  assert.match(text, new RegExp(`"version": "${PRODUCT_VERSION.replaceAll('.', '\\.')}"`))
})
