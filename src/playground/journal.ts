import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { deserialize, serialize } from 'node:v8'
import { crc32 } from 'node:zlib'

const HEAD = 8

/**
 * Append-only file of records, each with its length and CRC-32. Survives the death of the process (not of the machine:
 * nothing is synced to disk). A record that is cut off at the end is dropped, one that is broken inside refuses to open.
 */
export class Journal<T> implements Disposable {
  private readonly file: number

  private constructor(file: number) {
    this.file = file
  }

  /** Reads what is there, then begins a new file with what `compact` makes of it. */
  static open<T>(folder: string, restore: (record: T) => void, compact: () => Iterable<T>): Journal<T> {
    mkdirSync(folder, { recursive: true })
    const path = join(folder, 'playground.journal')
    if (existsSync(path)) for (const record of records(readFileSync(path), path)) restore(record as T)
    const fresh = `${path}.new`
    const journal = new Journal<T>(openSync(fresh, 'w'))
    for (const record of compact()) journal.append(record)
    renameSync(fresh, path)
    return journal
  }

  append(record: T): void {
    const body = serialize(record)
    const head = Buffer.alloc(HEAD)
    head.writeUInt32LE(body.length, 0)
    head.writeUInt32LE(crc32(body), 4)
    writeSync(this.file, Buffer.concat([head, body]))
  }

  [Symbol.dispose](): void {
    closeSync(this.file)
  }
}

function* records(bytes: Buffer, path: string): Generator<unknown> {
  for (let at = 0; at + HEAD <= bytes.length;) {
    const length = bytes.readUInt32LE(at)
    const end = at + HEAD + length
    if (end > bytes.length) return
    const body = bytes.subarray(at + HEAD, end)
    if (crc32(body) !== bytes.readUInt32LE(at + 4)) {
      if (end === bytes.length) return
      throw new RangeError(`${path}: the record at offset ${at} is broken`)
    }
    yield deserialize(body)
    at = end
  }
}
