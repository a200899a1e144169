import type { Etcd } from './etcd.ts'

/** An election won: while `key` exists with this revision, nobody else leads. */
export interface Leadership {
  readonly key: string
  readonly createRevision: bigint
}

/**
 * Waits until this lease's key is the oldest below `prefix` (etcd's concurrency.Election: key `<prefix>/<lease in hex>`).
 * Aborting leaves the key in place: withdraw it, or let the lease go.
 */
export async function campaign(
  etcd: Etcd,
  prefix: string,
  lease: bigint,
  value: string,
  signal: AbortSignal,
): Promise<Leadership> {
  const key = `${prefix}/${lease.toString(16)}`
  await etcd.txn([{ key, createRevision: 0n }], [{ put: key, value, lease }], { repeatable: true }, signal)
  const own = await etcd.get(key, signal)
  if (own === undefined) throw new Error(`election key ${key} vanished`)
  if (own.value !== value) await etcd.put(key, value, { lease }, signal)
  for (;;) {
    const older = await etcd.newestBefore(`${prefix}/`, own.createRevision, signal)
    if (older === undefined) return { key, createRevision: own.createRevision }
    await deletionOf(etcd, older.key, signal)
  }
}

/** Gives a leadership (or a candidacy) up. */
export async function withdraw(etcd: Etcd, leadership: Leadership, signal: AbortSignal): Promise<void> {
  const { key, createRevision } = leadership
  await etcd.txn([{ key, createRevision }], [{ delete: key }], { repeatable: true }, signal)
}

/** Resolves when the leadership's key is gone; rejects with the signal's reason when it is aborted. */
export const lossOf = (etcd: Etcd, leadership: Leadership, signal: AbortSignal): Promise<void> =>
  deletionOf(etcd, leadership.key, signal)

async function deletionOf(etcd: Etcd, key: string, signal: AbortSignal): Promise<void> {
  for await (const event of etcd.watch(key, signal)) {
    if (event.type === 'snapshot' && !event.entries.some((entry) => entry.key === key)) return
    if (event.type === 'changes' && event.changes.some((change) => change.key === key && change.entry === undefined))
      return
  }
  signal.throwIfAborted()
}
