import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { DiskQuota } from './disk-quota.ts'

/** Where a process keeps its run files; nothing of it is worth keeping after its end. */
export interface RunDirectory extends Disposable {
  /** The parent of one folder per worker. */
  readonly path: string
}

/** Makes a folder for this process below `root`, and removes those of processes that are gone. */
export function openRunDirectory(root: string): RunDirectory {
  const path = join(root, String(process.pid))
  rmSync(path, { recursive: true, force: true })
  mkdirSync(path, { recursive: true })
  for (const name of readdirSync(root)) {
    if (name !== String(process.pid) && !isAlive(Number(name)))
      rmSync(join(root, name), { recursive: true, force: true })
  }
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

/** Removes what a worker left that ended without closing its files, and gives its disk back. */
export function removeRuns(path: string, disk: DiskQuota): void {
  let bytes = 0
  for (const entry of readdirIfThere(path)) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size
  }
  rmSync(path, { recursive: true, force: true })
  disk.giveBack(bytes)
}

function readdirIfThere(path: string) {
  try {
    return readdirSync(path, { recursive: true, withFileTypes: true })
  } catch {
    return []
  }
}

/** Another process of this number may live: its folder is left alone then. */
function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
