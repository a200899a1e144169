import { Connection, type ConnectionOptions, type Reader, type Writer } from '@platformatic/kafka'
import type { Exchange } from './wire.ts'

/**
 * A connection of the library, with the means to send megabytes without joining them into one buffer first, as the library
 * does: it is given the beginning of a request, and the rest is written right behind it.
 */
export class BrokerConnection implements Disposable {
  readonly #connection: Connection
  /** What follows the request that is being sent. */
  #rest: readonly Buffer[] = []

  private constructor(connection: Connection) {
    this.#connection = connection
    const { socket } = connection
    const write = socket.write.bind(socket)
    Object.assign(socket, {
      write: (...given: Parameters<typeof write>) => {
        const rest = this.#rest
        const [begin] = given
        if (rest.length === 0 || !Buffer.isBuffer(begin)) return write(...given)
        this.#rest = []
        // A request begins with its length.
        begin.writeInt32BE(
          rest.reduce((sum, piece) => sum + piece.length, begin.readInt32BE(0)),
          0,
        )
        socket.cork()
        write(begin)
        for (const piece of rest) write(piece)
        socket.uncork()
        return true
      },
    })
  }

  /** `lost` is called when it breaks, once or more often. */
  static async open(
    clientId: string,
    { host, port }: { readonly host: string; readonly port: number },
    options: ConnectionOptions,
    lost: () => void,
  ): Promise<BrokerConnection> {
    const connection = new Connection(clientId, options)
    connection.on('error', lost)
    connection.on('close', lost)
    await connection.connect(host, port)
    return new BrokerConnection(connection)
  }

  /** Sends a request. One without an answer resolves when the system has taken nearly all of it; its result means nothing. */
  exchange<T>(request: Exchange<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const { apiKey, version, rest = [], unanswered = false } = request
    const payload = (): Writer => {
      const writer = request.payload()
      if (unanswered) writer.context.noResponse = true
      return writer
    }
    const read = (_correlationId: number, _apiKey: number, _version: number, reader: Reader) => request.read(reader)
    this.#rest = rest
    // The library writes before it returns, or not at all.
    this.#connection.send<T>(apiKey, version, payload, read, false, false, (error, result) => {
      if (error !== null || result === undefined) reject(error ?? new Error('empty response'))
      else resolve(result)
    })
    if (this.#rest.length > 0) this[Symbol.dispose]()
    this.#rest = []
    return unanswered ? promise.then((result) => this.#drained().then(() => result)) : promise
  }

  async #drained(): Promise<void> {
    const { socket } = this.#connection
    if (!socket.writableNeedDrain) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const closed = (): void => reject(new Error('connection closed'))
    socket.once('drain', resolve)
    socket.once('close', closed)
    try {
      await promise
    } finally {
      socket.off('drain', resolve)
      socket.off('close', closed)
    }
  }

  /** Breaks it; requests under way reject. */
  [Symbol.dispose](): void {
    this.#connection.socket.destroy()
  }
}
