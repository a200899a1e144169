import { isMainThread } from 'node:worker_threads'

/**
 * Named places where a test makes the process fail. The set is given once at start (`TIDEWIRE_FAIL_POINTS`, read in
 * main.ts, handed to workers in their start message): `name` or `name@n` (from the n-th pass on), separated by commas.
 */
export type FailPoints = (name: FailPointName) => void

/** What ends there: the process, or the worker thread that passes (the main thread passes unharmed). */
export const FAIL_POINTS = {
  'kafka-after-produce-before-ack': 'process',
  'after-ack-before-etcd': 'process',
  'after-etcd-before-watermark': 'process',
  'ddl-sent-before-stored': 'process',
  'worker-after-produce-before-ack': 'thread',
} as const satisfies Record<string, 'process' | 'thread'>
export type FailPointName = keyof typeof FAIL_POINTS

export const noFailPoints: FailPoints = () => {}

/** Kills this process with SIGKILL, or ends this worker thread, at the n-th pass of a named point. */
export function createFailPoints(spec: string): FailPoints {
  const left = new Map<string, number>()
  for (const item of spec.split(',').filter((part) => part !== '')) {
    const [name = '', count = '1'] = item.split('@')
    left.set(name, Number(count))
  }
  if (left.size === 0) return noFailPoints
  return (name) => {
    const passes = left.get(name)
    if (passes === undefined) return
    if (FAIL_POINTS[name] === 'thread') {
      if (isMainThread) return
      if (passes <= 1) process.exit(1)
    }
    if (passes <= 1) process.kill(process.pid, 'SIGKILL')
    left.set(name, passes - 1)
  }
}
