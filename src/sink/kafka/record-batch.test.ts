import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Reader, readRecordsBatch, crc32c } from '@platformatic/kafka'
import fc from 'fast-check'
import { COMPRESSIONS } from '../../config/sink-settings.ts'
import { encodeRecordBatch, markRecordBatch, noProducer } from './record-batch.ts'

const bytes = fc.uint8Array({ maxLength: 300 })
const messages = fc.array(fc.record({ key: fc.option(bytes), value: bytes }), { minLength: 1, maxLength: 200 })

test('a batch is what the library reads back, whatever the messages', () => {
  fc.assert(
    fc.property(messages, fc.constantFrom(...COMPRESSIONS), (given, compression) => {
      const batch = encodeRecordBatch(given, compression, 1_700_000_000_123, noProducer)
      const read = readRecordsBatch(Reader.from(batch))
      assert.equal(read.length, batch.length - 12)
      assert.equal(read.magic, 2)
      assert.equal(read.crc, crc32c(batch.subarray(21)))
      assert.equal(read.lastOffsetDelta, given.length - 1)
      assert.equal(read.firstTimestamp, 1_700_000_000_123n)
      assert.equal(read.maxTimestamp, 1_700_000_000_123n)
      assert.deepEqual([read.producerId, read.producerEpoch, read.firstSequence], [-1n, -1, -1])
      assert.deepEqual(
        read.records.map(({ key, value, offsetDelta }) => [
          key?.toString('hex') ?? null,
          value?.toString('hex'),
          offsetDelta,
        ]),
        given.map(({ key, value }, i) => [
          key === null ? null : Buffer.from(key).toString('hex'),
          Buffer.from(value).toString('hex'),
          i,
        ]),
      )
    }),
    { numRuns: 100 },
  )
})

test('lengths at the borders of the varint are written right', () => {
  for (const length of [0, 63, 64, 8191, 8192, 1_048_575, 1_048_576]) {
    const value = Buffer.alloc(length, 1)
    const [record] = readRecordsBatch(
      Reader.from(encodeRecordBatch([{ key: null, value }], 'none', 0, noProducer)),
    ).records
    assert.equal(record?.value?.length ?? 0, length)
    assert.equal(record?.key, null)
  }
})

test('another mark changes producer, epoch, sequence and checksum, and nothing else', () => {
  const given = [{ key: null, value: Buffer.from('v') }]
  const mark = { producerId: 0x1234_5678_9abc_def0n, epoch: 7, sequence: 0x7fff_ffff }
  const marked = encodeRecordBatch(given, 'none', 5, noProducer)
  markRecordBatch(marked, mark)
  assert.deepEqual(marked, encodeRecordBatch(given, 'none', 5, mark))
  const read = readRecordsBatch(Reader.from(marked))
  assert.deepEqual([read.producerId, read.producerEpoch, read.firstSequence], [mark.producerId, 7, 0x7fff_ffff])
  assert.equal(read.crc, crc32c(marked.subarray(21)))
})
