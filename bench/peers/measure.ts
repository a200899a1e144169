/** What a row costs a peer: its Java machine is warm, and the rows lie in the binlog before the clock starts. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KafkaBroker } from '../../test/support/kafka.ts'
import { waitFor } from '../../test/support/process.ts'
import { cpuMs, peakMib } from '../process-figures.ts'
import { openTopics } from '../topics.ts'
import { PARTITIONS, type Peer } from './peer.ts'
import { startSource } from './source.ts'

export interface PeerCost {
  readonly usPerRow: number
  readonly rowsPerSecond: number
  readonly bytesPerMessage: number
  readonly peakMib: number
}

export interface PeerRun {
  readonly warmUp: number
  readonly rows: number
}

export async function measurePeer(peer: Peer, kafka: KafkaBroker, { warmUp, rows }: PeerRun): Promise<PeerCost> {
  await using source = await startSource()
  await using topics = openTopics(kafka.bootstrap)
  for (const topic of peer.topics) await topics.create(topic, PARTITIONS)
  const folder = await mkdtemp(join(tmpdir(), `tidewire-${peer.name}-`))
  try {
    await using running = await peer.start({ mysql: source, bootstrap: kafka.bootstrap, folder })
    const arrived = (count: number, deadlineMs: number) =>
      waitFor(
        `${count} messages of ${peer.name}`,
        async () => {
          if (!running.alive) throw new Error(`${peer.name} ended:\n${running.lines.slice(-30).join('\n')}`)
          return (await topics.messages(peer.topics)) >= count
        },
        deadlineMs,
      ).catch((error: unknown) => {
        throw new Error(running.lines.slice(-30).join('\n'), { cause: error })
      })
    await source.write(warmUp)
    await arrived(warmUp, 180_000)
    running.kill('SIGSTOP')
    await source.write(rows)
    const cpu = cpuMs(running.pid)
    const began = performance.now()
    running.kill('SIGCONT')
    await arrived(warmUp + rows, 600_000)
    const ms = performance.now() - began
    const spent = cpuMs(running.pid) - cpu
    const bytes = await topics.bytes(peer.topics)
    return {
      usPerRow: (spent * 1000) / rows,
      rowsPerSecond: rows / (ms / 1000),
      bytesPerMessage: bytes / (warmUp + rows),
      peakMib: peakMib(running.pid),
    }
  } finally {
    await topics.remove(peer.topics)
    await rm(folder, { recursive: true, force: true })
  }
}
