import { formatGoDuration } from './go-values.ts'
import { REPLICA_CONFIG } from './replica-config-keys.ts'
import { SERVER_CONFIG } from './server-config.ts'
import { fileName, isLeaf, type Fields, type Leaf, type TableOptions } from './key-table.ts'

/** The keys of a table as rows of a Markdown table; `docs/configuration.md` is made of these. */
export function renderKeyDocs(table: TableOptions & { readonly fields: Fields }): string {
  const head = '| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n'
  return `${head}${rows(table.fields, '').join('\n')}\n`
}

const TYPES = {
  bool: 'bool',
  int: 'integer',
  float: 'number',
  text: 'string',
  texts: 'strings',
  uint64s: 'integers',
  duration: 'duration',
}

function rows(fields: Fields, prefix: string): string[] {
  return Object.entries(fields).flatMap(([property, node]) => {
    const key = prefix + fileName(property, node)
    if (!isLeaf(node)) return rows(node.fields, `${key}${node.kind === 'tables' ? '[].' : '.'}`)
    const meaning = `${node.doc ?? ''}${node.unbuilt === true ? ' Not built yet.' : ''}`.trim()
    return [
      `| \`${key}\` | ${TYPES[node.kind]} | ${fallbackText(node)} | ${escape(node.allowed ?? '')} | ${escape(meaning)} |`,
    ]
  })
}

function fallbackText(leaf: Leaf<unknown>): string {
  const value = leaf.fallback ?? leaf.implied
  if (value === undefined || value === '') return ''
  if (leaf.kind === 'duration' && typeof value === 'number') return `\`${formatGoDuration(value)}\``
  return `\`${escape(JSON.stringify(value, (_key, member: unknown) => (typeof member === 'bigint' ? Number(member) : member)))}\``
}

const escape = (text: string): string => text.replaceAll('|', '\\|')

/** The whole page. `scripts/generate-docs.ts` writes it; a test holds the file to it. */
export function renderConfigurationPage(): string {
  return `# Configuration

Made from the tables of keys in \`src/config/\`; change it there and run \`npm run docs\`.

Files are TOML and strict: a key that is not listed is an error. Durations are written as Go does (\`"10m"\`, \`"1h30m"\`).
Keys of \`sink.kafka-config\` and \`codec-config\` may stand in the sink URI too (not \`sasl-oauth-*\`); the URI wins.

## Changefeeds (\`cdc cli changefeed create --config\`)

${renderKeyDocs(REPLICA_CONFIG)}
## Servers (\`cdc server --config\`)

${renderKeyDocs(SERVER_CONFIG)}`
}
