/**
 * A column value (reference: protocols, section 2). By column type:
 * integers, YEAR, BIT, ENUM (1-based, 0 = invalid), SET (mask): `number`, or `bigint` where it is beyond ±(2^53 - 1);
 * FLOAT, DOUBLE: `number`; DECIMAL, DATE, DATETIME, TIMESTAMP (in the reader's zone), TIME, JSON: `string` as TiDB
 * prints it; CHAR, VARCHAR, TEXT, BINARY, BLOB: `Uint8Array` of the stored bytes (UTF-8 for every non-binary charset);
 * VECTOR: `Float32Array`; NULL: `null`.
 */
export type Value = null | number | bigint | string | Uint8Array | Float32Array

/** `number` where it is exact. */
export const integerValue = (value: bigint): number | bigint =>
  value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value

/** Equality of two values of one column: NULL equals NULL, bytes and vectors by content. */
export function sameValue(a: Value, b: Value): boolean {
  if (a === b) return true
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0
  if (a instanceof Float32Array)
    return b instanceof Float32Array && a.length === b.length && a.every((x, i) => x === b[i])
  return false
}
