import type { Event_Row } from '../../proto/cdcpb.ts'
import { Event_LogType, Event_Row as Rows, Event_Row_OpType as OpType } from '../../proto/cdcpb.ts'
import { noBytes } from './bytes.ts'
import type { Lock, Mutation, MvccStore, Write } from './mvcc.ts'
import { valueAt } from './mvcc.ts'

/** A COMMIT row, and a lock that is written again, carry the value only up to this length. */
const SHORT_VALUE = 255
const PROTECTED = Buffer.from('p')

const laterTs = (a: bigint, b: bigint): bigint => (a > b ? a : b)

/** What the change feed shows of one step of a command; undefined: nothing. */
export function liveRow(mutation: Mutation, mvcc: MvccStore): Event_Row | undefined {
  if (mutation.kind === 'unlock') return undefined
  const { key } = mutation
  const writes = mvcc.get(key)?.writes ?? []
  if (mutation.kind === 'lock') {
    const { lock, rewrite } = mutation
    // A long value is not part of the command that only rewrites its lock, so there is nothing to show.
    return rewrite && lock.value.length > SHORT_VALUE ? undefined : prewriteRow(key, lock, writes)
  }
  const { write } = mutation
  const { startTs, commitTs, txnSource } = write
  switch (write.kind) {
    case 'rollback':
      return Rows.create({ type: Event_LogType.ROLLBACK, startTs, key, value: write.protected ? PROTECTED : noBytes })
    case 'lock':
      return Rows.create()
    case 'put':
    case 'delete': {
      if (mutation.onePhase) return committedRow(key, write, writes)
      const value = write.value.length <= SHORT_VALUE ? write.value : noBytes
      return Rows.create({
        type: Event_LogType.COMMIT,
        opType: opOf(write.kind),
        startTs,
        commitTs,
        key,
        value,
        txnSource,
      })
    }
  }
}

/** `undefined` for locks that the feed does not show. */
export function prewriteRow(key: Buffer, lock: Lock, writes: readonly Write[]): Event_Row | undefined {
  if (lock.kind !== 'put' && lock.kind !== 'delete') return undefined
  return Rows.create({
    type: Event_LogType.PREWRITE,
    opType: opOf(lock.kind),
    startTs: lock.startTs,
    key,
    value: lock.value,
    oldValue: valueAt(writes, laterTs(lock.startTs, lock.forUpdateTs)) ?? noBytes,
    txnSource: lock.txnSource,
  })
}

export function committedRow(key: Buffer, write: Write, writes: readonly Write[]): Event_Row {
  return Rows.create({
    type: Event_LogType.COMMITTED,
    opType: write.kind === 'delete' ? OpType.DELETE : OpType.PUT,
    startTs: write.startTs,
    commitTs: write.commitTs,
    key,
    value: write.value,
    oldValue: valueAt(writes, write.commitTs - 1n) ?? noBytes,
    txnSource: write.txnSource,
  })
}

export const initializedRow = (): Event_Row => Rows.create({ type: Event_LogType.INITIALIZED })

const opOf = (kind: 'put' | 'delete'): OpType => (kind === 'put' ? OpType.PUT : OpType.DELETE)

/** Rows of physical imports and of lossy DDL never leave; those written by a CDC leave unless the client filters loops. */
export function isFiltered(txnSource: bigint, filterLoop: boolean): boolean {
  return txnSource >> 8n !== 0n || (filterLoop && (txnSource & 0xffn) !== 0n)
}

/** Roughly what a row takes on the wire and in memory. */
export const rowBytes = (row: Event_Row): number => row.key.length + row.value.length + row.oldValue.length + 64

/** What a scan counts for a row when it cuts its output: keys and heads of the records read, as far as recordings show. */
export const scannedBytes = (row: Event_Row): number =>
  row.key.length + row.value.length + 50 + (row.oldValue.length > 0 ? row.oldValue.length + 35 : 0)
