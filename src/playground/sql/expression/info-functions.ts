import { randomUUID } from 'node:crypto'

import { SERVER_VERSION } from '../session/server-version.ts'
import { toNumeric } from '../value/value.ts'
import { plain } from './define.ts'
import type { EvalContext } from './context.ts'
import type { FunctionEntry } from './functions.ts'
import type { Value } from '../value/value.ts'

const info = (read: (context: EvalContext) => Value): FunctionEntry => ({
  least: 0,
  most: 0,
  bind: (context) => () => read(context),
})

export const INFO_FUNCTIONS: Readonly<Record<string, FunctionEntry>> = {
  DATABASE: info(({ database }) => (database === '' ? null : database)),
  SCHEMA: info(({ database }) => (database === '' ? null : database)),
  USER: info(({ user }) => user),
  SESSION_USER: info(({ user }) => user),
  SYSTEM_USER: info(({ user }) => user),
  CURRENT_USER: info(() => 'root@%'),
  VERSION: info(() => SERVER_VERSION),
  TIDB_VERSION: info(() => `Release Version: ${SERVER_VERSION}\nEdition: Tidewire playground`),
  CONNECTION_ID: info(({ connectionId }) => BigInt(connectionId)),
  ROW_COUNT: info(({ rowCount }) => rowCount),
  FOUND_ROWS: info(({ foundRows }) => foundRows),
  UUID: info(() => randomUUID()),
  LAST_INSERT_ID: {
    least: 0,
    most: 1,
    bind:
      (context) =>
      ([value]) => {
        if (value === undefined || value === null) return context.lastInsertId
        const number = toNumeric(value)
        const id = typeof number === 'bigint' ? number : BigInt(Math.round(Number(number.toString())))
        context.setLastInsertId(id)
        return id
      },
  },
  TIDB_PARSE_TSO_LOGICAL: plain(1, 1, (ts) => (typeof ts === 'bigint' ? ts & 0x3ffffn : null)),
}
