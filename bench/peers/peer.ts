import type { Running } from '../../test/support/process.ts'

/** Where a peer reads from and writes to. */
export interface PeerAddresses {
  /** MariaDB, user `root` without password. */
  readonly mysql: { readonly host: string; readonly port: number }
  readonly bootstrap: string
  /** A folder for its files. */
  readonly folder: string
}

/** Another program that carries changes of a database into Kafka, as its users run it in production. */
export interface Peer {
  readonly name: string
  /** Topics that get a message per row of the bench's tables. */
  readonly topics: readonly string[]
  start(addresses: PeerAddresses): Promise<Running>
}

/** A Java machine of a server: time to compile everything, memory that is never short. */
export const JAVA = ['-Xms1g', '-Xmx2g', '-XX:+UseG1GC', '-Duser.timezone=UTC']
export const PARTITIONS = 6
/** What all producers are told, ours too: durable, in large batches, not compressed. */
export const PRODUCER = { acks: 'all', 'batch.size': '1048576', 'linger.ms': '5', 'compression.type': 'none' } as const

/** Java's properties file. */
export const propertiesText = (properties: Readonly<Record<string, string | number>>): string =>
  Object.entries(properties)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('')
