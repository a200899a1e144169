/**
 * Named places where a test makes the process fail. The set is given once at start (`TIDEWIRE_FAIL_POINTS`, read in
 * main.ts, handed to workers in their start message): `name` or `name@n` (from the n-th pass on), separated by commas.
 */
export type FailPoints = (name: FailPointName) => void

export const FAIL_POINTS = [
  'kafka-after-produce-before-ack',
  'after-ack-before-etcd',
  'after-etcd-before-watermark',
  'ddl-sent-before-stored',
] as const
export type FailPointName = (typeof FAIL_POINTS)[number]

export const noFailPoints: FailPoints = () => {}

/** Kills this process with SIGKILL at the n-th pass of a named point. */
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
    if (passes <= 1) process.kill(process.pid, 'SIGKILL')
    left.set(name, passes - 1)
  }
}
