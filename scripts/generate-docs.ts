// Writes docs/configuration.md from the tables of keys.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { renderConfigurationPage } from '../src/config/key-docs.ts'

writeFileSync(join(import.meta.dirname, '../docs/configuration.md'), renderConfigurationPage())
