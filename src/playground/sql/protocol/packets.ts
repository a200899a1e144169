import type { Socket } from 'node:net'

const MAX_PAYLOAD = 0xff_ffff
const FLUSH_BYTES = 64 << 10

/** Cuts a connection's bytes into packets and packets into bytes: 3 bytes of length, 1 of sequence, payload. */
export class PacketStream {
  readonly #socket: Socket
  readonly #chunks: AsyncIterator<Buffer>
  #received: Buffer = Buffer.alloc(0)
  #sequence = 0
  #pending: Buffer[] = []
  #pendingBytes = 0

  constructor(socket: Socket) {
    this.#socket = socket
    this.#chunks = socket.iterator({ destroyOnReturn: false })
  }

  /** The next packet, joined where it is longer than one can be; undefined = the peer is gone. */
  async read(): Promise<Buffer | undefined> {
    const parts: Buffer[] = []
    for (;;) {
      const header = await this.#take(4)
      if (header === undefined) return undefined
      const length = header.readUIntLE(0, 3)
      this.#sequence = ((header[3] ?? 0) + 1) & 0xff
      const payload = await this.#take(length)
      if (payload === undefined) return undefined
      parts.push(payload)
      if (length < MAX_PAYLOAD) return parts.length === 1 ? payload : Buffer.concat(parts)
    }
  }

  async #take(count: number): Promise<Buffer | undefined> {
    if (this.#received.length < count) {
      const parts = [this.#received]
      let length = this.#received.length
      while (length < count) {
        const { value, done } = await this.#chunks.next()
        if (done === true) return undefined
        parts.push(value)
        length += value.length
      }
      this.#received = Buffer.concat(parts)
    }
    const taken = this.#received.subarray(0, count)
    this.#received = this.#received.subarray(count)
    return taken
  }

  /** Queues a packet; sends and waits for the peer when much is queued. */
  async write(payload: Buffer): Promise<void> {
    let at = 0
    for (;;) {
      const part = payload.subarray(at, at + MAX_PAYLOAD)
      const header = Buffer.allocUnsafe(4)
      header.writeUIntLE(part.length, 0, 3)
      header[3] = this.#sequence
      this.#sequence = (this.#sequence + 1) & 0xff
      this.#pending.push(header, part)
      this.#pendingBytes += part.length + 4
      at += part.length
      if (part.length < MAX_PAYLOAD) break
    }
    if (this.#pendingBytes >= FLUSH_BYTES) await this.flush()
  }

  /** Sends what is queued; resolves when the peer has taken most of it. */
  async flush(): Promise<void> {
    if (this.#pending.length === 0) return
    const bytes = Buffer.concat(this.#pending)
    this.#pending = []
    this.#pendingBytes = 0
    if (this.#socket.destroyed) return
    if (this.#socket.write(bytes)) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#socket.once('drain', resolve)
    this.#socket.once('close', resolve)
    await promise
    this.#socket.off('drain', resolve)
    this.#socket.off('close', resolve)
  }
}
