/** What a row costs a peer: its Java machine is warm, and the rows lie in the binlog before the clock starts. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KafkaBroker } from '../../test/support/kafka.ts'
import { waitFor } from '../../test/support/process.ts'
import { cpuMs, peakMib } from '../process-figures.ts'
import { openTopics } from '../topics.ts'
import { PARTITIONS, type Peer } from './peer.ts'
import { type RowsPerTransaction, startSource } from './source.ts'

export interface PeerCost {
  /** Each row a transaction of its own, as the simulated feed has them. */
  readonly single: RowCost
  /** A hundred rows to a transaction. */
  readonly batched: RowCost
  readonly bytesPerMessage: number
  readonly peakMib: number
}

export interface RowCost {
  readonly usPerRow: number
  readonly rowsPerSecond: number
}

export interface PeerRun {
  readonly warmUp: number
  /** Of each kind. */
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
    let written = 0
    const write = async (count: number, rowsPerTransaction: RowsPerTransaction): Promise<void> => {
      await source.write(count, rowsPerTransaction)
      written += count
    }
    await write(warmUp / 2, 1)
    await write(warmUp / 2, 100)
    await arrived(written, 300_000)
    const cost = async (rowsPerTransaction: RowsPerTransaction): Promise<RowCost> => {
      running.kill('SIGSTOP')
      await write(rows, rowsPerTransaction)
      const cpu = cpuMs(running.pid)
      const began = performance.now()
      running.kill('SIGCONT')
      await arrived(written, 600_000)
      const ms = performance.now() - began
      return { usPerRow: ((cpuMs(running.pid) - cpu) * 1000) / rows, rowsPerSecond: rows / (ms / 1000) }
    }
    const [single, batched] = [await cost(1), await cost(100)]
    const [bytes, messages] = [await topics.bytes(peer.topics), await topics.messages(peer.topics)]
    // As after a connection that was lost and begun again.
    if (messages !== written) throw new Error(`${peer.name} sent ${messages} messages for ${written} rows`)
    return { single, batched, bytesPerMessage: bytes / written, peakMib: peakMib(running.pid) }
  } finally {
    await topics.remove(peer.topics)
    await rm(folder, { recursive: true, force: true })
  }
}
