import type { Clock } from '../../base/clock.ts'
import { CdcError } from '../../base/errors.ts'
import type { PdClient, Store } from '../pd/pd.ts'

/** How long an address is believed without asking PD again. */
const TTL_MS = 15_000

/** Stores by id. Forget one when a connection to it fails: its address may have changed. */
export class StoreDirectory {
  readonly #pd: PdClient
  readonly #clock: Clock
  readonly #known = new Map<bigint, { readonly store: Store; readonly until: number }>()

  constructor(pd: PdClient, clock: Clock) {
    this.#pd = pd
    this.#clock = clock
  }

  /** Rejects with `CDC:ErrGetTiKVRPCContext` for an unknown store and for a tombstone. */
  async find(id: bigint, signal: AbortSignal): Promise<Store> {
    const known = this.#known.get(id)
    if (known !== undefined && this.#clock.monotonic() < known.until) return known.store
    const store = await this.#pd.store(id, signal)
    if (store === undefined || store.state === 'tombstone' || store.address === '') {
      this.#known.delete(id)
      throw new CdcError('CDC:ErrGetTiKVRPCContext', `store ${id} has no address`)
    }
    this.#known.set(id, { store, until: this.#clock.monotonic() + TTL_MS })
    return store
  }

  forget(id: bigint): void {
    this.#known.delete(id)
  }
}
