// Reads the recorded change streams; origin and meaning: src/upstream/tikv/vectors/README.md.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

/** One line of a recording, its message as bytes. */
export interface RecordedLine {
  readonly k: string
  readonly t: number
  readonly s: number | undefined
  readonly store: bigint | undefined
  readonly rpc: string
  readonly code: number | undefined
  readonly frame: Buffer | undefined
}

export interface RecordedMutation {
  readonly op: 'put' | 'delete' | 'lock'
  readonly key: string
  readonly value?: string
  readonly old?: string
}

export interface Expected {
  readonly checkpoint_ts: string
  readonly end_ts: string
  readonly txns: readonly {
    readonly name: string
    readonly start_ts: string
    readonly commit_ts: string
    readonly txn_source?: number
    readonly mutations: readonly RecordedMutation[]
  }[]
}

const folder = process.env['TIDEWIRE_EVENTFEED_DIR'] ?? join(import.meta.dirname, '../../src/upstream/tikv/vectors')

/** Names of the recordings that hold change streams. */
export const recordings: readonly string[] = globSync('*.jsonl*', { cwd: folder })
  .map((file) => file.replace(/\.jsonl(\.gz)?$/, ''))
  .filter((name) => name !== 'pd')
  .toSorted()

function text(file: string): string {
  const path = join(folder, file)
  return existsSync(path) ? readFileSync(path, 'utf8') : gunzipSync(readFileSync(`${path}.gz`)).toString()
}

export function openRecording(name: string): { readonly clusterId: bigint; readonly lines: readonly RecordedLine[] } {
  const raw = text(`${name}.jsonl`)
    .split('\n')
    .filter((line) => line !== '')
    .map((line): Record<string, unknown> => JSON.parse(line))
  const lines = raw.map((line) => ({
    k: String(line['k']),
    t: Number(line['t']),
    s: typeof line['s'] === 'number' ? line['s'] : undefined,
    store: typeof line['store'] === 'number' ? BigInt(line['store']) : undefined,
    rpc: typeof line['rpc'] === 'string' ? line['rpc'] : '',
    code: typeof line['code'] === 'number' ? line['code'] : undefined,
    frame: typeof line['b64'] === 'string' ? Buffer.from(line['b64'], 'base64') : undefined,
  }))
  return { clusterId: BigInt(String(raw[0]?.['cluster_id'])), lines }
}

export const openExpected = (name: string): Expected => JSON.parse(text(`expected-${name}.json`))

export const hasExpected = (name: string): boolean =>
  existsSync(join(folder, `expected-${name}.json`)) || existsSync(join(folder, `expected-${name}.json.gz`))
