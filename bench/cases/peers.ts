/** Other programs for the same job, on the same machine with the same rows. */
import type { BenchCase } from '../case.ts'
import { debezium } from '../peers/debezium.ts'
import { maxwell } from '../peers/maxwell.ts'
import { measurePeer } from '../peers/measure.ts'

export const peerCases: readonly BenchCase[] = [debezium, maxwell].map((peer) => ({
  name: `peer-${peer.name}`,
  about: `${peer.name} from MariaDB's binlog to Kafka`,
  needs: 'kafka',
  repeated: false,
  async run(bench) {
    const sizes = bench.quick ? { warmUp: 40_000, rows: 48_000 } : { warmUp: 400_000, rows: 400_000 }
    const cost = await measurePeer(peer, await bench.kafka(), sizes)
    bench.report(`peer-${peer.name}-us-per-row`, cost.single.usPerRow, 'us')
    bench.report(`peer-${peer.name}-rate`, cost.single.rowsPerSecond, 'rows/s')
    bench.report(`peer-${peer.name}-batched-us-per-row`, cost.batched.usPerRow, 'us')
    bench.report(`peer-${peer.name}-batched-rate`, cost.batched.rowsPerSecond, 'rows/s')
    bench.report(`peer-${peer.name}-bytes-per-row`, cost.bytesPerMessage, 'bytes')
    bench.report(`peer-${peer.name}-rss`, cost.peakMib, 'MiB')
  },
}))
