import type { Quota } from '../spill/quota.ts'
import type { RunFiles } from '../spill/run-files.ts'
import type { RowArena } from './row-arena.ts'
import { openBlock, type RowBlock, type RowPointer, rowSize } from './row-block.ts'
import { SourceHeap } from './row-source.ts'
import { RunReader } from './run-reader.ts'
import { blockBytesFor, RunWriter, type SortedRun } from './sorted-run.ts'

export interface MergeContext {
  readonly arena: RowArena
  readonly quota: Quota
  readonly files: RunFiles
}

/** Share of the quota that is written at once. */
const PIECE_SHARE = 1 / 32
const LARGEST_PIECE_BYTES = 8 << 20

/**
 * Sorts runs that overlap into a series of new ones that do not, in order; the old ones stay as they are. Rejects with the errors of
 * run files; then nothing of it stays.
 */
export async function mergeRuns(
  runs: readonly SortedRun[],
  context: MergeContext,
  signal: AbortSignal,
): Promise<SortedRun[]> {
  const { arena, quota, files } = context
  const readers = runs.map((run) => new RunReader(run, undefined, arena, quota))
  const merged: SortedRun[] = []
  const pieceBytes = Math.floor(Math.min(LARGEST_PIECE_BYTES, quota.limitBytes * PIECE_SHARE)) & ~3
  const piece = openBlock(Buffer.allocUnsafeSlow(pieceBytes))
  quota.addBefore(pieceBytes)
  const series = {}
  let used = 0
  const write = (rows: Iterable<RowPointer>): void => {
    const writer = new RunWriter(blockBytesFor(pieceBytes))
    for (const segment of files.write([writer.blocks(rows)])) merged.push(writer.runOf(segment, series))
    used = 0
  }
  try {
    let heap = new SourceHeap(readers)
    for (let { first } = heap; first !== undefined; { first } = heap) {
      if (!first.loaded) {
        await first.load(false, signal)
        heap = new SourceHeap(readers)
        continue
      }
      const size = rowSize(first.block, first.at)
      if (used + size > pieceBytes && used > 0) write(rowsOf(piece, used))
      if (size > pieceBytes) write([first])
      else used += first.block.bytes.copy(piece.bytes, used, first.at * 4, first.at * 4 + size)
      first.advance()
      heap.moved()
    }
    if (used > 0) write(rowsOf(piece, used))
    signal.throwIfAborted()
    return merged
  } catch (error) {
    for (const { segment } of merged) segment.release()
    throw error
  } finally {
    quota.addBefore(-pieceBytes)
    for (const reader of readers) reader[Symbol.dispose]()
  }
}

/** The rows in the first `used` bytes of a block. */
function* rowsOf(block: RowBlock, used: number): Generator<RowPointer> {
  const pointer = { block, at: 0 }
  for (; pointer.at * 4 < used; pointer.at += rowSize(block, pointer.at) >>> 2) yield pointer
}
