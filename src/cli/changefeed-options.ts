import { readFileSync } from 'node:fs'
import { CdcError } from '../base/errors.ts'
import { defaultReplicaConfig, parseReplicaConfigToml } from '../config/replica-config-toml.ts'
import type { ReplicaConfig } from '../config/replica-config.ts'
import type { CommandContext } from './command.ts'

/** The configuration that `--config` and the flags beside it give, read over `base`. */
export function readReplicaConfig(context: CommandContext, base: ReplicaConfig = defaultReplicaConfig): ReplicaConfig {
  const { flags } = context
  const path = flags.text('config')
  let config = base
  if (path !== '') {
    const read = parseReplicaConfigToml(readText(path), path, base)
    for (const warning of read.warnings) context.warn(`[WARN] ${warning}`)
    config = read.config
  }
  if (flags.given('schema-registry'))
    config = { ...config, sink: { ...config.sink, schemaRegistry: flags.text('schema-registry') } }
  return config
}

/** A file's text; what the file system says where it cannot be read. */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const reason =
      cause instanceof Error && 'code' in cause && cause.code === 'ENOENT' ? 'no such file or directory' : ''
    throw new Error(reason === '' ? `open ${path}` : `open ${path}: ${reason}`, reason === '' ? { cause } : {})
  }
}

/** Warns of `--sort-dir`, and refuses it. */
export function refuseSortDir(context: CommandContext): void {
  if (context.flags.text('sort-dir') === '') return
  context.warn(
    '[WARN] --sort-dir is deprecated in changefeed settings. Please use `cdc server --data-dir` to start the cdc server if possible, sort-dir will be set automatically. The --sort-dir here will be no-op',
  )
  throw new Error("creating changefeed with `--sort-dir`, it's invalid")
}

/** Warns about what is accepted without effect. */
export function showWarnings(context: CommandContext, warnings: readonly string[]): void {
  for (const warning of warnings) context.warn(`[WARN] ${warning}`)
}

/** Texts of sink URIs never leave the machine unmasked in errors of ours. */
export const requireSinkUri = (uri: string): void => {
  if (uri === '')
    throw new CdcError('CDC:ErrSinkURIInvalid', 'sink_uri is empty, cannot create a changefeed without sink_uri')
}
