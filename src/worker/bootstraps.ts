import type { Clock } from '../base/clock.ts'
import type { ControlMessage } from '../codec/protocol.ts'
import type { BootstrapSettings } from '../config/sink-settings.ts'
import { type EncodedMessage, Messages } from '../event/encoded.ts'
import type { RowPlan } from './row-plan.ts'

/** How often it is looked whether a table is due, ms. */
const LOOK_MS = 5000
/** A table without rows for so long is forgotten, ms. */
const IDLE_MS = 30 * 60_000

interface Announced {
  /** Of the newest rows. */
  plan: RowPlan
  sentAt: number
  rowsSince: number
  lastRowAt: number
}

/**
 * Says when consumers are told a table's schema by a message of its own, as rows do not carry it: before the table's
 * first row, and again after some time and rows (reference: protocols-avro-simple-debezium, B.7).
 */
export class Bootstraps {
  readonly #settings: BootstrapSettings
  readonly #compose: (plan: RowPlan) => ControlMessage | undefined
  readonly #clock: Clock
  /** By physical table id. */
  readonly #tables = new Map<bigint, Announced>()
  #lookedAt: number

  constructor(settings: BootstrapSettings, compose: (plan: RowPlan) => ControlMessage | undefined, clock: Clock) {
    this.#settings = settings
    this.#compose = compose
    this.#clock = clock
    this.#lookedAt = clock.monotonic()
  }

  /** Every table is announced as soon as it is replicated, with or without rows. */
  get allAtStart(): boolean {
    return this.#settings.allAtStart
  }

  /** Messages with rows of a table, behind its announcement where there was none before. */
  before(plan: RowPlan, messages: Messages): Messages {
    const now = this.#clock.monotonic()
    const known = this.#tables.get(plan.table.physicalId)
    if (known === undefined) return Messages.of([...this.announce(plan), ...messages])
    known.plan = plan
    known.rowsSince += messages.length
    known.lastRowAt = now
    return messages
  }

  /** One message per partition that gets it. */
  announce(plan: RowPlan): EncodedMessage[] {
    const now = this.#clock.monotonic()
    const lastRowAt = this.#tables.get(plan.table.physicalId)?.lastRowAt ?? now
    this.#tables.set(plan.table.physicalId, { plan, sentAt: now, rowsSince: 0, lastRowAt })
    const message = this.#compose(plan)
    if (message === undefined) return []
    const partitions = this.#settings.toAllPartitions ? plan.partitions : 1
    return Array.from({ length: partitions }, (_, partition) => ({ ...message, partition, rows: 0 }))
  }

  /** Plans of the tables whose time has come again; forgets those that are idle. */
  due(): RowPlan[] {
    const now = this.#clock.monotonic()
    if (now - this.#lookedAt < LOOK_MS) return []
    this.#lookedAt = now
    const plans: RowPlan[] = []
    for (const [id, { plan, sentAt, rowsSince, lastRowAt }] of this.#tables) {
      if (now - lastRowAt > IDLE_MS) this.#tables.delete(id)
      else if (now - sentAt >= this.#settings.intervalMs || rowsSince >= this.#settings.messages) plans.push(plan)
    }
    return plans
  }

  /** What was announced may be lost: every table is announced again before its next row. */
  forget(): void {
    this.#tables.clear()
  }

  /** The table is no longer replicated here. */
  drop(physicalId: bigint): void {
    this.#tables.delete(physicalId)
  }
}
