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
    const sizes = bench.quick ? { warmUp: 20_000, rows: 50_000 } : { warmUp: 300_000, rows: 1_000_000 }
    const cost = await measurePeer(peer, await bench.kafka(), sizes)
    bench.report(`peer-${peer.name}-us-per-row`, cost.usPerRow, 'us')
    bench.report(`peer-${peer.name}-rate`, cost.rowsPerSecond, 'rows/s')
    bench.report(`peer-${peer.name}-bytes-per-row`, cost.bytesPerMessage, 'bytes')
    bench.report(`peer-${peer.name}-rss`, cost.peakMib, 'MiB')
  },
}))
