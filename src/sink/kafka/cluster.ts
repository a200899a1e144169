import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { type ConnectionOptions, parseBroker } from '@platformatic/kafka'
import { CdcError } from '../../base/errors.ts'
import type { KafkaSettings, TlsSettings } from '../../config/sink-settings.ts'
import { abortable } from './abortable.ts'
import { BrokerConnection } from './broker-connection.ts'
import { type Exchange, type Metadata, metadataRequest } from './wire.ts'

interface Address {
  readonly host: string
  readonly port: number
}

/**
 * Connections to the brokers of one cluster and what they say about topics. A connection is opened on use and forgotten
 * when it breaks. Errors are the library's and {@link BrokerError}; the callers wrap them.
 */
export class Cluster implements Disposable {
  readonly #settings: KafkaSettings
  readonly #clientId: string
  readonly #connections = new Map<string, Promise<BrokerConnection>>()
  readonly #brokers = new Map<number, Address>()
  /** Topic → leader's node by partition, -1 = none. */
  readonly #leaders = new Map<string, readonly number[]>()
  #controller = -1
  #closed = false

  constructor(settings: KafkaSettings, clientId: string) {
    this.#settings = settings
    this.#clientId = clientId
  }

  /** The node that leads a partition, as of the last refresh; undefined = unknown, refresh. */
  leaderOf(topic: string, partition: number): number | undefined {
    const node = this.#leaders.get(topic)?.[partition]
    return node !== undefined && this.#brokers.has(node) ? node : undefined
  }

  /** Asks any broker for the cluster and the topics' leaders. */
  async refresh(topics: readonly string[], signal: AbortSignal): Promise<Metadata> {
    const metadata = await this.any(metadataRequest(topics), signal)
    this.#brokers.clear()
    for (const { node, host, port } of metadata.brokers) this.#brokers.set(node, { host, port })
    this.#controller = metadata.controller
    for (const topic of metadata.topics) {
      const leaders: number[] = []
      for (const { index, leader } of topic.partitions) leaders[index] = leader
      this.#leaders.set(topic.name, leaders)
    }
    return metadata
  }

  /** The broker that carries out requests about topics; -1 = unknown. */
  get controller(): number {
    return this.#controller
  }

  /** A live connection to a broker of the last refresh. */
  async connection(node: number): Promise<BrokerConnection> {
    const address = this.#brokers.get(node)
    if (address === undefined) throw new Error(`broker ${node} is not in the cluster`)
    return this.#connect(address)
  }

  /** Makes a request to the first broker that can be reached: known ones, then those of the settings. */
  async any<T>(request: Exchange<T>, signal: AbortSignal): Promise<T> {
    const seeds = this.#settings.brokers.map((broker) => parseBroker(broker, 9092))
    const errors: unknown[] = []
    for (const address of [...this.#brokers.values(), ...seeds]) {
      try {
        const connection = await abortable(this.#connect(address), signal)
        return await abortable(connection.exchange(request), signal)
      } catch (error) {
        signal.throwIfAborted()
        errors.push(error)
      }
    }
    throw errors.at(-1) ?? new Error('no broker is configured')
  }

  /** Breaks every connection; requests under way reject. */
  [Symbol.dispose](): void {
    this.#closed = true
    for (const opening of this.#connections.values())
      opening.then(
        (connection) => connection[Symbol.dispose](),
        () => {},
      )
    this.#connections.clear()
  }

  #connect(address: Address): Promise<BrokerConnection> {
    if (this.#closed) return Promise.reject(new Error('the kafka client is closed'))
    const key = `${address.host}:${address.port}`
    const known = this.#connections.get(key)
    if (known !== undefined) return known
    const forget = (): void => {
      if (this.#connections.get(key) === opening) this.#connections.delete(key)
    }
    const opening = this.#open(address, forget)
    this.#connections.set(key, opening)
    opening.catch(forget)
    return opening
  }

  async #open(address: Address, forget: () => void): Promise<BrokerConnection> {
    const options = await connectionOptions(this.#settings, address.host)
    const connection = await BrokerConnection.open(this.#clientId, address, options, forget)
    if (this.#closed) connection[Symbol.dispose]()
    return connection
  }
}

async function connectionOptions(settings: KafkaSettings, host: string): Promise<ConnectionOptions> {
  const options: ConnectionOptions = {
    connectTimeout: settings.dialTimeoutMs,
    requestTimeout: settings.writeTimeoutMs + settings.readTimeoutMs,
    // The producer bounds what is in flight; the library must not queue behind its own limit.
    maxInflights: 1024,
  }
  if (settings.tls !== undefined) options.tls = { ...(await tlsOptions(settings.tls)), ...serverName(host) }
  if (settings.sasl !== undefined) {
    const { mechanism, user, password } = settings.sasl
    options.sasl = { mechanism, username: user, password }
  }
  return options
}

const serverName = (host: string) => (isIP(host) === 0 ? { servername: host } : {})

/** Files are read for each connection, so a renewed certificate is taken up. */
async function tlsOptions(tls: TlsSettings) {
  const [ca, cert, key] = await Promise.all([tls.ca, tls.cert, tls.key].map(readPem))
  return {
    minVersion: 'TLSv1.2' as const,
    rejectUnauthorized: !tls.insecureSkipVerify,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

async function readPem(path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined
  try {
    return await readFile(path)
  } catch (cause) {
    throw new CdcError('CDC:ErrKafkaInvalidConfig', `cannot read the TLS file ${path}`, { cause })
  }
}
