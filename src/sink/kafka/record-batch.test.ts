import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { crc32c, Reader, readRecordsBatch } from '@platformatic/kafka'
import fc from 'fast-check'
import { COMPRESSIONS } from '../../config/sink-settings.ts'
import { type EncodedMessage, Messages } from '../../event/encoded.ts'
import { BatchMemory } from './batch-memory.ts'
import { BATCH_HEADER_BYTES, markRecordBatch, noProducer, RecordBatch } from './record-batch.ts'

const message = (key: Uint8Array | null, value: Uint8Array | null): EncodedMessage => ({
  partition: 0,
  key,
  value,
  rows: 1,
})
const bytes = fc.uint8Array({ maxLength: 300 })
const messages = fc.array(fc.tuple(fc.option(bytes), fc.option(bytes)), { minLength: 1, maxLength: 200 })

/** A batch of all messages in `memory`, not sealed. */
function fill(given: readonly EncodedMessage[], memory = new BatchMemory(), limitBytes = Infinity): RecordBatch {
  const packed = Messages.of(given)
  const batch = new RecordBatch(memory, limitBytes, 0)
  for (let i = 0; i < packed.length; i++) if (!batch.add(packed, i)) break
  return batch
}

function sealed(batch: RecordBatch, compression: (typeof COMPRESSIONS)[number] = 'none', ms = 0): Buffer {
  batch.seal(compression, ms)
  markRecordBatch(batch.bytes, noProducer)
  return batch.bytes
}

const hex = (part: Uint8Array | null | undefined) => (part ? Buffer.from(part).toString('hex') : null)

test('a batch is what the library reads back, whatever the messages, in memory that was used before', () => {
  const memory = new BatchMemory()
  fc.assert(
    fc.property(messages, fc.constantFrom(...COMPRESSIONS), (given, compression) => {
      const content = fill(
        given.map(([key, value]) => message(key, value)),
        memory,
      )
      const batch = sealed(content, compression, 1_700_000_000_123)
      const read = readRecordsBatch(Reader.from(batch))
      assert.equal(read.length, batch.length - 12)
      assert.equal(read.magic, 2)
      assert.equal(read.crc, crc32c(batch.subarray(21)))
      assert.equal(read.lastOffsetDelta, given.length - 1)
      assert.equal(read.firstTimestamp, 1_700_000_000_123n)
      assert.equal(read.maxTimestamp, 1_700_000_000_123n)
      assert.deepEqual([read.producerId, read.producerEpoch, read.firstSequence], [-1n, -1, -1])
      assert.deepEqual(
        read.records.map(({ key, value, offsetDelta }) => [hex(key), hex(value), offsetDelta]),
        given.map(([key, value], i) => [hex(key), hex(value), i]),
      )
      content.free(true)
    }),
    { numRuns: 200 },
  )
})

test('a batch stays within its limit, and takes one message that is larger', () => {
  const values = fc.array(fc.nat({ max: 500 }), { minLength: 1, maxLength: 50 })
  fc.assert(
    fc.property(values, fc.integer({ min: 70, max: 3000 }), (lengths, limitBytes) => {
      const batch = fill(
        lengths.map((length) => message(null, Buffer.alloc(length))),
        new BatchMemory(),
        limitBytes,
      )
      assert.ok(batch.records >= 1)
      if (batch.records > 1) assert.ok(batch.length <= limitBytes)
      const next = lengths[batch.records]
      // Its varints take at least five bytes; were there place for more, it would have taken it.
      if (next !== undefined) assert.ok(batch.length + next + 10 > limitBytes)
    }),
  )
})

test('what does not compress stays as it is, so that no batch outgrows its limit', () => {
  const noise = Array.from({ length: 64 }, () => message(null, randomBytes(1024)))
  for (const compression of COMPRESSIONS) {
    const batch = sealed(fill(noise), compression)
    assert.equal(batch.length, fill(noise).length, compression)
    const { attributes, records } = readRecordsBatch(Reader.from(batch))
    assert.equal(attributes, 0)
    assert.deepEqual(
      records.map(({ value }) => hex(value)),
      noise.map(({ value }) => hex(value)),
    )
  }
})

test('lengths at the borders of the varint are written right', () => {
  for (const length of [0, 63, 64, 8191, 8192, 1_048_575, 1_048_576]) {
    const batch = sealed(fill([message(null, Buffer.alloc(length, 1))]))
    assert.ok(batch.length > BATCH_HEADER_BYTES + length)
    const [record] = readRecordsBatch(Reader.from(batch)).records
    assert.equal(record?.value?.length ?? 0, length)
    assert.equal(record?.key, null)
  }
})

test('another mark changes producer, epoch, sequence and checksum, and nothing else', () => {
  const mark = { producerId: 0x1234_5678_9abc_def0n, epoch: 7, sequence: 0x7fff_ffff }
  const before = Buffer.from(sealed(fill([message(null, Buffer.from('v'))])))
  const after = Buffer.from(before)
  markRecordBatch(after, mark)
  const read = readRecordsBatch(Reader.from(Buffer.from(after)))
  assert.deepEqual([read.producerId, read.producerEpoch, read.firstSequence], [mark.producerId, 7, 0x7fff_ffff])
  assert.equal(read.crc, crc32c(after.subarray(21)))
  markRecordBatch(after, noProducer)
  assert.deepEqual(after, before)
})

test('a sealed batch takes no more', () => {
  const packed = Messages.of([message(null, Buffer.from('v'))])
  const batch = fill([message(null, Buffer.from('v'))])
  batch.seal('none', 0)
  assert.equal(batch.add(packed, 0), false)
})
