import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Folder outside the checkout where downloaded servers and clients are kept from run to run. */
export function cacheFolder(...parts: string[]): string {
  const folder = join(process.env['TIDEWIRE_CACHE'] ?? join(homedir(), '.cache', 'tidewire'), ...parts)
  mkdirSync(folder, { recursive: true })
  return folder
}
