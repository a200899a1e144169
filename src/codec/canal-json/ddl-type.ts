/** Canal's event type → TiDB's action codes; everything else is `QUERY` (reference: protocols-json, B.2). */
const ACTIONS: Readonly<Record<string, readonly number[]>> = {
  CREATE: [3],
  RENAME: [14, 47],
  CINDEX: [7, 9, 32],
  DINDEX: [8, 10, 33],
  ALTER: [5, 6, 12, 13, 15, 17, 18, 19, 20, 22, 23, 37, 38, 41, 61, 64, 71, 72],
  ERASE: [4],
  TRUNCATE: [11],
}

const names = new Map(Object.entries(ACTIONS).flatMap(([name, actions]) => actions.map((action) => [action, name])))

export const ddlTypeName = (action: number): string => names.get(action) ?? 'QUERY'
