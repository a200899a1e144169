import type { FromWorker } from '../changefeed/messages.ts'
import type { SpanWork } from './changefeed-run.ts'

const INTERVAL_MS = 5000
/** Only heavy spans are worth a move. */
const REPORTED_SPANS = 16

/**
 * Tells each changefeed how busy this thread is and which of its spans take how much of that, until disposed. What spans
 * cost is not measured: it is taken to be as their bytes.
 */
export function startLoadReports(
  runs: ReadonlyMap<bigint, { takeLoads(): SpanWork[] }>,
  post: (message: FromWorker) => void,
): Disposable {
  let before = performance.eventLoopUtilization()
  let reportedAt = performance.now()
  const report = (): void => {
    const utilization = performance.eventLoopUtilization()
    const busy = performance.eventLoopUtilization(utilization, before).utilization
    const minutes = (performance.now() - reportedAt) / 60_000
    before = utilization
    reportedAt = performance.now()
    const loads = [...runs].map(([epoch, run]) => ({ epoch, spans: run.takeLoads() }))
    const bytes = loads.flatMap(({ spans }) => spans).reduce((sum, span) => sum + span.bytes, 0)
    for (const { epoch, spans } of loads) {
      const heaviest = spans.toSorted((a, b) => b.bytes - a.bytes).slice(0, REPORTED_SPANS)
      const shares = heaviest.map((span) => ({
        spanId: span.spanId,
        share: (busy * span.bytes) / bytes,
        rowsPerMinute: span.rows / minutes,
      }))
      post({ type: 'load', epoch, busy, spans: shares })
    }
  }
  const timer = setInterval(report, INTERVAL_MS)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}
