/**
 * What one stage of a pipeline has done since it was opened: plain numbers, added to once per frame or batch and read
 * when metrics are asked for. Whoever works in the stage adds to it, in one thread.
 */
export class StageCounter {
  /** Rows and bytes that it has given on. */
  rows = 0
  bytes = 0
  /** Time at work, ms; what waits for other stages does not count. */
  workMs = 0
  /** What it holds now. */
  queueBytes = 0

  /** `workMs` may be a part of a clock's ms. */
  add(rows: number, bytes: number, workMs: number): void {
    this.rows += rows
    this.bytes += bytes
    this.workMs += workMs
  }
}
