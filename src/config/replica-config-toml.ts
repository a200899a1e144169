import { decodeConfigFile } from './config-file.ts'
import { defaultsOf } from './key-table.ts'
import { REPLICA_CONFIG } from './replica-config-keys.ts'
import type { ReplicaConfig } from './replica-config.ts'

/** What a changefeed has without a file. */
export const defaultReplicaConfig: ReplicaConfig = Object.freeze(defaultsOf(REPLICA_CONFIG.fields))

/**
 * Reads a changefeed's TOML file over `base` (the defaults at create, the present configuration at update). Keys are
 * strict; throws {@link ConfigFileError} with every fault.
 */
export function parseReplicaConfigToml(
  text: string,
  path: string,
  base: ReplicaConfig = defaultReplicaConfig,
): { config: ReplicaConfig; warnings: string[] } {
  const { value, warnings } = decodeConfigFile({
    text,
    path,
    component: 'TiCDC changefeed',
    table: REPLICA_CONFIG,
    base,
  })
  return { config: Object.freeze<ReplicaConfig>(value), warnings }
}
