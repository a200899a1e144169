import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { renderConfigurationPage } from './key-docs.ts'

test('docs/configuration.md is what the tables say: npm run docs', () => {
  assert.equal(
    readFileSync(join(import.meta.dirname, '../../docs/configuration.md'), 'utf8'),
    renderConfigurationPage(),
  )
})
