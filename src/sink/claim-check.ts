import { CdcError } from '../base/errors.ts'
import type { Fence } from '../base/fence.ts'
import type { LargeMessageSettings } from '../config/sink-settings.ts'
import type { EncodedBatch } from '../event/encoded.ts'
import { openStorage, type ObjectStorage } from '../storage/storage.ts'

/** Objects that are written at the same time. */
const AT_ONCE = 16

/**
 * Puts the rows that do not fit into messages into storage, before the messages that point there are sent. Batches pass
 * in the order of their calls: one without such rows waits only behind one that has them.
 */
export class ClaimChecks implements AsyncDisposable {
  readonly #storage: Promise<ObjectStorage>
  readonly #fence: Fence
  /** What the next batch waits for; undefined = nothing. */
  #gate: Promise<void> | undefined

  constructor(storage: Promise<ObjectStorage>, fence: Fence) {
    this.#storage = storage
    this.#fence = fence
    // It is looked at when something is stored.
    storage.catch(() => {})
  }

  /** undefined = the batch can be sent at once. Error: `CDC:ErrS3StorageAPI`; then no later batch may pass. */
  pass(batch: EncodedBatch): Promise<void> | undefined {
    const large = batch.messages.uploads !== undefined
    if (!large) return this.#gate
    const gate = this.#store(batch, this.#gate)
    this.#gate = gate
    const open = (): void => {
      if (this.#gate === gate) this.#gate = undefined
    }
    // After a failure the gate stays closed.
    gate.then(open, () => {})
    return gate
  }

  async #store(batch: EncodedBatch, before: Promise<void> | undefined): Promise<void> {
    await before
    const storage = await this.#storage
    const uploads = [...(batch.messages.uploads?.values() ?? [])]
    for (let at = 0; at < uploads.length; at += AT_ONCE) {
      if (!this.#fence.open())
        throw new CdcError('CDC:ErrCaptureSuicide', 'the lease of this capture has ended, nothing more is written')
      await Promise.all(uploads.slice(at, at + AT_ONCE).map(({ name, content }) => storage.write(name, [content])))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const storage = await this.#storage.catch(() => undefined)
    storage?.[Symbol.dispose]()
  }
}

/** undefined where nothing is ever put into storage. */
export function openClaimChecks({ handling }: LargeMessageSettings, fence: Fence): ClaimChecks | undefined {
  return handling.option === 'claim-check' ? new ClaimChecks(openStorage(handling.storage), fence) : undefined
}
