/** Schemas that are remembered per subject: a table's newest ones, while rows of older ones may still come. */
const PER_SUBJECT = 8

/** Remembers what a registry answered for a schema, and asks it once however many ask at a time. */
export class HeaderCache {
  readonly #subjects = new Map<string, Map<string, Promise<Uint8Array>>>()

  get(subject: string, schema: string, ask: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const schemas = this.#subjects.getOrInsertComputed(subject, () => new Map<string, Promise<Uint8Array>>())
    const known = schemas.get(schema)
    if (known !== undefined) return known
    const header = ask()
    schemas.set(schema, header)
    header.catch(() => schemas.delete(schema))
    const [oldest] = schemas.keys()
    if (schemas.size > PER_SUBJECT && oldest !== undefined) schemas.delete(oldest)
    return header
  }
}
