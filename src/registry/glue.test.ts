// Against answers of AWS Glue made up for the test; test/real/schema-registry.test.ts runs against moto.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, beforeEach, test } from 'node:test'
import { systemClock } from '../base/clock.ts'
import { openSchemaRegistry } from './open-registry.ts'

const signal = new AbortController().signal
const UUID = '00112233-4455-6677-8899-aabbccddeeff'
const hurried = { ...systemClock, sleep: (_ms: number, stop: AbortSignal) => systemClock.sleep(1, stop) }

type Reply = readonly [status: number, body: Readonly<Record<string, unknown>>]
/** Operation → its next answers, the last one for ever. */
let answers: Record<string, Reply[]> = {}
let calls: string[] = []
const server = createServer((request, response) => {
  request.resume().on('end', () => {
    const operation = String(request.headers['x-amz-target']).replace('AWSGlue.', '')
    calls.push(operation)
    const [first, ...rest] = answers[operation] ?? []
    if (rest.length > 0) answers[operation] = rest
    const [status, body] = first ?? [400, { __type: 'InvalidInputException', Message: `no answer to ${operation}` }]
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(body))
  })
})

before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  process.env['AWS_ENDPOINT_URL'] = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
  process.env['AWS_MAX_ATTEMPTS'] = '1'
})
beforeEach(() => {
  answers = {}
  calls = []
})
after(() => {
  server.closeAllConnections()
  server.close()
})

function open() {
  const troubles: string[] = []
  const credentials = { accessKey: 'AKID', secretAccessKey: 'verysecret', token: 'sesame' }
  const registry = openSchemaRegistry(
    { kind: 'glue', region: 'eu-west-1', registryName: 'tables', credentials },
    { clock: hurried, onTrouble: (error) => troubles.push(error.message) },
  )
  return { registry, troubles, [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() }
}

const missing: Reply = [400, { __type: 'EntityNotFoundException', Message: 'no such schema' }]
const version = (Status: string): Reply => [200, { SchemaVersionId: UUID, Status, SchemaDefinition: '"int"' }]

test('a new subject is created, and its version waited for', async () => {
  await using glue = open()
  answers = {
    GetSchemaVersion: [missing, version('PENDING'), version('AVAILABLE')],
    CreateSchema: [[200, { SchemaVersionId: UUID }]],
  }
  const header = await glue.registry.register('t-value', '"int"', signal)
  assert.equal(Buffer.from(header).toString('hex'), `0300${UUID.replaceAll('-', '')}`)
  assert.deepEqual(calls, ['GetSchemaVersion', 'CreateSchema', 'GetSchemaVersion', 'GetSchemaVersion'])
  await glue.registry.register('t-value', '"int"', signal)
  assert.equal(calls.length, 4)
  assert.equal(await glue.registry.schema(UUID, signal), '"int"')
})

test('a known subject gets a version', async () => {
  await using glue = open()
  answers = {
    GetSchemaVersion: [version('AVAILABLE')],
    RegisterSchemaVersion: [[200, { SchemaVersionId: UUID }]],
  }
  assert.equal((await glue.registry.register('t-value', '"int"', signal)).length, 18)
  assert.deepEqual(calls, ['GetSchemaVersion', 'RegisterSchemaVersion', 'GetSchemaVersion'])
})

test('refusals name the subject and what AWS said, and no secret', async () => {
  await using glue = open()
  const refused = (message: RegExp) =>
    assert.rejects(glue.registry.register('t-value', '"int"', signal), (error: Error) => {
      assert.match(error.message, message)
      assert.match(error.message, /ErrAvroSchemaAPIError.*subject t-value/)
      assert.doesNotMatch(error.message, /verysecret|sesame/)
      return true
    })
  answers = {
    GetSchemaVersion: [version('AVAILABLE'), version('FAILURE')],
    RegisterSchemaVersion: [version('PENDING')],
  }
  await refused(/refused the schema: version .* has the status FAILURE/)
  answers = { GetSchemaVersion: [[400, { __type: 'AccessDeniedException', Message: 'you may not' }]] }
  await refused(/400 AccessDeniedException: you may not/)
  assert.deepEqual(glue.troubles, [])
})

test('an error of AWS’s own is tried again', async () => {
  await using glue = open()
  answers = {
    GetSchemaVersion: [[500, { __type: 'InternalServiceException', Message: 'sorry' }], version('AVAILABLE')],
    RegisterSchemaVersion: [[200, { SchemaVersionId: UUID }]],
  }
  await glue.registry.register('t-value', '"int"', signal)
  assert.match(glue.troubles.join(), /subject t-value in AWS Glue, trying again: .*sorry/)
})

test('a check names the registry that is missing', async () => {
  await using glue = open()
  answers = { GetRegistry: [missing] }
  await assert.rejects(glue.registry.check(signal), { message: /registry tables of AWS Glue in eu-west-1/ })
  answers = { GetRegistry: [[200, {}]] }
  await glue.registry.check(signal)
})
