// A process that only reads a table's change feed, so that a test can stop it: `paused-reader.ts PD TABLE START_TS`. Prints a
// line {"resolvedTs", "rows", "errors", "rssMib", "heldMib"} after each resolved-ts; rows are counted once.
import { systemClock } from '../../src/base/clock.ts'
import { silentLog } from '../../src/base/log.ts'
import { tableRecordRange } from '../../src/tidb/key.ts'
import { Ts } from '../../src/tidb/ts.ts'
import { openPdClient } from '../../src/upstream/pd/client.ts'
import { openEventFeed } from '../../src/upstream/tikv/event-feed.ts'

const [endpoint = '', table = '0', startTs = '0'] = process.argv.slice(2)
const signal = new AbortController().signal
const common = { security: {}, log: silentLog, clock: systemClock }
const pd = await openPdClient({ endpoints: [endpoint], ...common }, signal)
const seen = new Set<string>()
const errors: Record<string, number> = {}
const feed = openEventFeed({
  pd,
  ...common,
  observer: {
    opened: () => ({ [Symbol.dispose]() {} }),
    received() {},
    regionError: (kind) => void (errors[kind] = (errors[kind] ?? 0) + 1),
  },
})
const subscription = feed.subscribe(tableRecordRange(BigInt(table)), Ts(BigInt(startTs)), {
  row({ commitTs, bytes, keyAt, keyEnd }) {
    seen.add(`${commitTs} ${bytes.toString('hex', keyAt, keyEnd)}`)
  },
  resolved(ts) {
    const rssMib = process.resourceUsage().maxRSS / 1024
    const heldMib = subscription.bytes / 1_048_576
    process.stdout.write(`${JSON.stringify({ resolvedTs: `${ts}`, rows: seen.size, errors, rssMib, heldMib })}\n`)
  },
  failed(error) {
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  },
})
