// Generates src/proto/*.ts from proto/*.proto. `--check` writes into a temporary folder and fails when the committed
// output differs.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const committed = join(root, 'src', 'proto')
const check = process.argv.includes('--check')
const out = check ? mkdtempSync(join(tmpdir(), 'tidewire-proto-')) : committed

if (!check) for (const name of generatedFiles(out)) rmSync(join(out, name))
execFileSync(
  process.execPath,
  [join(root, 'node_modules/@bufbuild/buf/bin/buf'), 'generate', '--template', template(out)],
  { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
)
for (const folder of ['google', 'gogoproto']) rmSync(join(out, folder), { recursive: true, force: true })
for (const name of ['rustproto.ts']) rmSync(join(out, name), { force: true })

if (check) {
  const names = new Set([...generatedFiles(out), ...generatedFiles(committed)])
  const stale = [...names].filter((name) => text(join(out, name)) !== text(join(committed, name)))
  rmSync(out, { recursive: true })
  if (stale.length > 0) {
    console.error(`generated code is out of date, run "npm run generate": ${stale.join(', ')}`)
    process.exit(1)
  }
}

function template(folder: string): string {
  const opt = [
    'env=node',
    'forceLong=bigint',
    'enumsAsLiterals=true',
    'esModuleInterop=true',
    'importSuffix=.ts',
    'outputServices=grpc-js',
    'outputJsonMethods=false',
    'useExactTypes=false',
    'oneof=unions-value',
    'unrecognizedEnum=false',
  ]
  const plugin = { local: [process.execPath, 'node_modules/ts-proto/protoc-gen-ts_proto'], out: folder, opt }
  return JSON.stringify({ version: 'v2', inputs: [{ directory: 'proto' }], plugins: [plugin] })
}

function generatedFiles(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith('.ts'))
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
