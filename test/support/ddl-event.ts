import type { DdlEvent } from '../../src/event/ddl-event.ts'
import { zeroTs } from '../../src/tidb/ts.ts'

/** A DDL event with what a test names; the rest is empty. */
export function ddlEvent(changes: Partial<DdlEvent>): DdlEvent {
  return {
    startTs: zeroTs,
    commitTs: zeroTs,
    seq: 0,
    type: 0,
    query: '',
    schema: '',
    table: '',
    after: undefined,
    before: undefined,
    charset: '',
    collate: '',
    bdrRole: '',
    sqlMode: 0n,
    ...changes,
  }
}
