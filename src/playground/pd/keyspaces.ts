import { KeyspaceMeta, KeyspaceState } from '../../proto/keyspacepb.ts'

const MOST = 0xff_ffff

/**
 * The keyspaces of the cluster, the default one from the beginning. A keyspace is a prefix of keys, `x` and three bytes
 * of its id, which clients put before their keys; the stores know nothing of it. Kept in memory only.
 */
export class Keyspaces {
  private readonly found = new Map<string, KeyspaceMeta>()

  constructor() {
    this.create('DEFAULT')
  }

  get all(): Iterable<KeyspaceMeta> {
    return this.found.values()
  }

  byName(name: string): KeyspaceMeta | undefined {
    return this.found.get(name)
  }

  /** Undefined where the name is taken or no id is left. */
  create(name: string): KeyspaceMeta | undefined {
    const id = this.found.size
    if (this.found.has(name) || id > MOST) return undefined
    const seconds = BigInt(Math.floor(Date.now() / 1000))
    const keyspace = KeyspaceMeta.create({
      keyspace: { $case: 'id', value: id },
      name,
      state: KeyspaceState.ENABLED,
      createdAt: seconds,
      stateChangedAt: seconds,
    })
    this.found.set(name, keyspace)
    return keyspace
  }
}
