import { AggregatorRegistry, type MetricObjectWithValues, type MetricValue, type Registry } from 'prom-client'
import type { WorkerPool } from '../worker/pool.ts'

type Answer = MetricObjectWithValues<MetricValue<string>>[]

/**
 * The text of /metrics: the server's own registry and those of its workers. Series with the same labels are added up,
 * unless the metric says otherwise (`aggregator`). A worker that does not answer in time counts with its last answer:
 * without it its counters would seem to have begun anew.
 */
export function createMetricsPage(own: Registry, workers: Pick<WorkerPool, 'metrics'>): () => Promise<string> {
  const last: unknown[] = []
  return async () => {
    const answers = await workers.metrics()
    for (const [worker, answer] of answers.entries()) if (!isEmpty(answer)) last[worker] = answer
    const ours = await own.getMetricsAsJSON()
    return AggregatorRegistry.aggregate([ours.map(shown), ...last.filter((one) => Array.isArray(one))]).metrics()
  }
}

const isEmpty = (answer: unknown): boolean => !Array.isArray(answer) || answer.length === 0

/** prom-client leaves out of sums what it cannot add up, such as the start of the process; here nobody else has it. */
const shown = (metric: Answer[number]): Answer[number] =>
  metric.aggregator === 'omit' ? { ...metric, aggregator: 'first' } : metric
