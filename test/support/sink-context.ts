import { Registry } from 'prom-client'
import { systemClock } from '../../src/base/clock.ts'
import { noFailPoints } from '../../src/base/fail-point.ts'
import { silentLog } from '../../src/base/log.ts'
import type { SinkContext } from '../../src/sink/sink-context.ts'

/** A context with an open fence, real time, no log and no protocol, with what a test changes. */
export function sinkContext(changes: Partial<SinkContext> = {}): SinkContext {
  return {
    changefeed: { namespace: 'default', id: 'test' },
    captureAddress: '127.0.0.1:8300',
    clusterId: 'default',
    fence: { open: () => true },
    log: silentLog,
    metrics: new Registry(),
    failPoints: noFailPoints,
    clock: systemClock,
    timeZone: 'UTC',
    dispatcher: {
      topicOf: (schema, table) => `${schema}_${table}`,
      compile: () => () => 0,
      compileStored: () => () => 0,
      checkConfig() {},
      checkTable() {},
      selectColumns: () => undefined,
      routes: undefined,
      explain: () => {
        throw new TypeError('nobody asks')
      },
    },
    protocol: undefined,
    ...changes,
  }
}
