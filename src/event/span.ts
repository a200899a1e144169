/** Half-open range `[start, end)` of memcomparable-encoded keys; a table is one or more. */
export interface KeyRange {
  readonly start: Uint8Array
  readonly end: Uint8Array
}

/** What one worker replicates as a unit: the records of a physical table (or a part of them). */
export interface Span extends KeyRange {
  /** Unique in its changefeed's run and never reused. */
  readonly id: number
  /** Physical table id: of the table, or of the partition. */
  readonly tableId: bigint
}
