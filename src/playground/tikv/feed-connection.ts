import type { Writable } from 'node:stream'
import type { ServerDuplexStream, StatusObject } from '@grpc/grpc-js'

import type { ChangeDataRequest, Event, ResolvedTs } from '../../proto/cdcpb.ts'
import { ChangeDataEvent, ChangeDataService } from '../../proto/cdcpb.ts'

const MAX_EVENTS = 64
const MAX_MESSAGE_BYTES = 6 << 20
const MAX_IN_FLIGHT = 4
/** A stall may be ended before its time. */
const STALL_CHECK_MS = 50

/** What is written is a message, or the bytes of one. */
export type FeedCall = ServerDuplexStream<ChangeDataRequest, ChangeDataEvent>

/** {@link ChangeDataService} whose answers may be bytes already. */
export const feedServiceDefinition = {
  ...ChangeDataService,
  eventFeedV2: {
    ...ChangeDataService.eventFeedV2,
    responseSerialize: (value: ChangeDataEvent | Buffer): Buffer =>
      value instanceof Uint8Array ? value : ChangeDataService.eventFeedV2.responseSerialize(value),
  },
}

interface Version {
  readonly major: number
  readonly minor: number
  readonly patch: number
}

type Item =
  | { readonly kind: 'event'; readonly event: Event; readonly bytes: number }
  | { readonly kind: 'resolved'; readonly resolved: ResolvedTs }

/** Output of one event-feed stream: a queue, grouped into messages, that goes no faster than its client reads. */
export class FeedConnection {
  readonly call: FeedCall
  /** The client asked for many request ids on one stream. */
  readonly multiplexing: boolean
  /** Told by the first request of the stream. */
  version: Version | undefined
  pendingBytes = 0
  private readonly queue: Item[] = []
  private readonly roomWanted: (() => void)[] = []
  private readonly stallMs: () => number
  private inFlight = 0
  private scheduled = false
  private closed = false

  constructor(call: FeedCall, multiplexing: boolean, stallMs: () => number) {
    this.call = call
    this.multiplexing = multiplexing
    this.stallMs = stallMs
  }

  send(event: Event, bytes: number): void {
    if (this.closed) return
    this.queue.push({ kind: 'event', event, bytes })
    this.pendingBytes += bytes
    this.schedule()
  }

  sendResolved(resolved: ResolvedTs): void {
    if (this.closed) return
    this.queue.push({ kind: 'resolved', resolved })
    this.schedule()
  }

  /** Sends the bytes of a message past the queue; resolves when they are written. The same function for the whole life. */
  readonly sendFrame = (frame: Buffer): Promise<void> => {
    const call: Pick<Writable, 'write'> = this.call
    return new Promise((resolve) => {
      if (this.closed) resolve()
      else call.write(frame, () => resolve())
    })
  }

  /** Resolves when at most `bytes` wait to be sent, or the stream is over. */
  async room(bytes: number): Promise<void> {
    while (!this.closed && this.pendingBytes > bytes)
      await new Promise<void>((resolve) => this.roomWanted.push(resolve))
  }

  /** Ends the stream; without a status: OK. What is queued is dropped. */
  close(status?: Partial<StatusObject>): void {
    if (this.closed) return
    this.closed = true
    this.queue.length = 0
    this.pendingBytes = 0
    this.giveRoom()
    if (status === undefined) this.call.end()
    else this.call.emit('error', status)
  }

  private schedule(delayMs = 0): void {
    if (this.scheduled || this.closed) return
    this.scheduled = true
    const run = (): void => {
      this.scheduled = false
      this.flush()
    }
    if (delayMs > 0) setTimeout(run, delayMs).unref()
    else setImmediate(run)
  }

  private flush(): void {
    const stallMs = this.stallMs()
    if (stallMs > 0) {
      this.schedule(Math.min(stallMs, STALL_CHECK_MS))
      return
    }
    while (this.inFlight < MAX_IN_FLIGHT && this.queue.length > 0) {
      const { message, bytes } = this.nextMessage()
      this.inFlight += 1
      this.call.write(message, () => {
        this.inFlight -= 1
        this.pendingBytes = Math.max(0, this.pendingBytes - bytes)
        this.giveRoom()
        if (this.queue.length > 0) this.schedule()
      })
    }
  }

  /** Resolved timestamps are never in one message with events. */
  private nextMessage(): { readonly message: ChangeDataEvent; readonly bytes: number } {
    const events: Event[] = []
    let bytes = 0
    let taken = 0
    for (const item of this.queue) {
      if (item.kind === 'resolved') {
        if (events.length > 0) break
        this.queue.shift()
        return { message: ChangeDataEvent.create({ resolvedTs: item.resolved }), bytes: 0 }
      }
      if (events.length > 0 && (events.length >= MAX_EVENTS || bytes + item.bytes > MAX_MESSAGE_BYTES)) break
      events.push(item.event)
      bytes += item.bytes
      taken += 1
    }
    this.queue.splice(0, taken)
    return { message: { events, resolvedTs: undefined }, bytes }
  }

  private giveRoom(): void {
    for (const resolve of this.roomWanted.splice(0)) resolve()
  }
}

/** `0.0.0` for what cannot be read. */
export function parseVersion(text: string): Version {
  const [, major = '0', minor = '0', patch = '0'] = /^v?(\d+)\.(\d+)\.(\d+)/.exec(text) ?? []
  return { major: Number(major), minor: Number(minor), patch: Number(patch) }
}

export function atLeast(version: Version | undefined, major: number, minor: number, patch: number): boolean {
  if (version === undefined) return false
  if (version.major !== major) return version.major > major
  return version.minor !== minor ? version.minor > minor : version.patch >= patch
}
