/** In the order of the Avro enum. */
export const SIMPLE_DDL_TYPES = ['CREATE', 'ALTER', 'ERASE', 'RENAME', 'TRUNCATE', 'CINDEX', 'DINDEX', 'QUERY'] as const
export type SimpleDdlType = (typeof SIMPLE_DDL_TYPES)[number]

const ACTIONS: Readonly<Record<Exclude<SimpleDdlType, 'QUERY'>, readonly number[]>> = {
  CREATE: [3],
  RENAME: [14, 47],
  CINDEX: [7, 9, 32],
  DINDEX: [8, 10, 33],
  ERASE: [4],
  TRUNCATE: [11],
  ALTER: [5, 6, 12, 13, 15, 17, 18, 19, 20, 22, 23, 41, 61, 64, 71, 72],
}

/** From TiDB's action code (reference: protocols-avro-simple-debezium, B.4). */
export function simpleDdlType(action: number): SimpleDdlType {
  return SIMPLE_DDL_TYPES.find((type) => type !== 'QUERY' && ACTIONS[type].includes(action)) ?? 'QUERY'
}
