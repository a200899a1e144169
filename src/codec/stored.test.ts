// What is written from stored cells is what is written from the decoded row, byte by byte, for every protocol that has both.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { storedChange } from '../../test/support/arbitrary-stored-row.ts'
import { codecSettings } from '../../test/support/codec-settings.ts'
import type { CodecSettings } from '../config/sink-settings.ts'
import { Messages } from '../event/encoded.ts'
import type { RawKv } from '../event/raw-kv.ts'
import type { RowChange, Values } from '../event/row-change.ts'
import { StoredRow } from '../event/stored-row.ts'
import type { TableVersion } from '../event/table-version.ts'
import { compileRowDecoder } from '../tidb/row-decoder.ts'
import { compileCellLocator } from '../tidb/stored-cells.ts'
import { openTimeZone } from '../tidb/time-zone.ts'
import { createProtocol } from './protocols.ts'
import type { RowEncoder } from './protocol.ts'

const PROTOCOLS = ['canal-json', 'open-protocol', 'maxwell', 'simple'] as const

type Changes = Partial<CodecSettings>
const VARIANTS: Readonly<Record<string, Changes>> = {
  plain: {},
  'TiDB extension': { enableTidbExtension: true },
  'only updated columns': { onlyOutputUpdatedColumns: true },
  'content compatible': { contentCompatible: true },
  'handle key of deletes': { deleteOnlyOutputHandleKeyColumns: true },
  'handle key only': {
    maxMessageBytes: 900,
    largeMessages: { compression: 'none', handling: { option: 'handle-key-only' } },
  },
  'claim check': {
    maxMessageBytes: 900,
    largeMessages: {
      compression: 'snappy',
      handling: { option: 'claim-check', storage: { kind: 'file', path: '/claims' }, rawValue: false },
    },
  },
  lz4: { largeMessages: { compression: 'lz4', handling: { option: 'none' } } },
  'no old value': { openOutputOldValue: false },
  'too large': { maxMessageBytes: 700 },
} as Readonly<Record<string, Changes>>

/** The row in both forms. */
function both(table: TableVersion, timeZone: string, raw: RawKv): { row: RowChange; stored: StoredRow } {
  const zone = openTimeZone(timeZone)
  const columns = table.columns.map(({ info }) => info)
  const decode = compileRowDecoder(table.info, columns, zone)
  const side = (value: Uint8Array | undefined): Values | undefined => value && decode(raw.key, value)
  const stored = new StoredRow(compileCellLocator(table.info, columns, zone))
  stored.raw.set(raw)
  stored.locate()
  const row = {
    startTs: raw.startTs,
    commitTs: raw.commitTs,
    key: raw.key,
    before: side(raw.oldValue),
    after: side(raw.value),
  }
  return { row, stored }
}

/** Messages, or the error in their place. */
function outcome(encoder: RowEncoder, encode: (out: Messages) => void): unknown {
  const out = new Messages()
  try {
    encode(out)
    encoder.flush(out)
  } catch (error) {
    return String(error)
  }
  return [...out].map((message) => ({
    ...message,
    key: message.key && Buffer.from(message.key).toString('latin1'),
    value: message.value && Buffer.from(message.value).toString('latin1'),
  }))
}

for (const protocol of PROTOCOLS)
  for (const [name, changes] of Object.entries(VARIANTS))
    test(`${protocol}, ${name}: stored cells give the bytes of the decoded row`, () => {
      fc.assert(
        fc.property(storedChange, ({ table, timeZone, raw }) => {
          const { row, stored } = both(table, timeZone, raw)
          const encoderOf = (): RowEncoder =>
            createProtocol(codecSettings({ protocol, ...changes }), {
              timeZone,
              now: () => 7,
              newId: () => 'id',
            }).compile(table)
          const [mounted, fast] = [encoderOf(), encoderOf()]
          const expected = outcome(mounted, (out) => mounted.encode(row, 3, out))
          const got = outcome(fast, (out) => fast.encodeStored?.(stored, 3, out))
          assert.deepEqual(got, expected)
        }),
        { numRuns: 150 },
      )
    })
