declare const brand: unique symbol

/** TiDB timestamp (TSO): unsigned 64-bit, `physical ms since 1970 << 18 | logical`. Source: PD. */
export type Ts = bigint & { readonly [brand]: 'Ts' }
export const Ts = (value: bigint): Ts => value as Ts

export const zeroTs = Ts(0n)
export const maxTs = Ts(0xffff_ffff_ffff_ffffn)

export const compareTs = (a: Ts, b: Ts): -1 | 0 | 1 => (a < b ? -1 : a > b ? 1 : 0)
export const minTs = (a: Ts, b: Ts): Ts => (a < b ? a : b)
export const laterTs = (a: Ts, b: Ts): Ts => (a > b ? a : b)
export const previousTs = (ts: Ts): Ts => Ts(ts - 1n)
export const nextTs = (ts: Ts): Ts => Ts(ts + 1n)

/** The first timestamp of a millisecond since 1970. */
export const tsOfMs = (ms: number, logical = 0): Ts => Ts((BigInt(Math.trunc(ms)) << 18n) | BigInt(logical))

/** Exact wall clock in ms; for files, headers and messages. */
export const physicalMs = (ts: Ts): number => Number(ts >> 18n)
