import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'

import { type Clock, systemClock } from '../../base/clock.ts'
import { checkPdVersion } from './server-version.ts'

const hasty: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 100, signal) }
const signal = AbortSignal.timeout(20_000)

for (const [name, status, body, code] of [
  ['a version that we know', 200, '{"version":"v8.5.1","git_hash":"x"}', undefined],
  ['one that is too old', 200, '{"version":"v6.5.0"}', 'CDC:ErrVersionIncompatible'],
  ['no version', 200, '{"version":7}', 'CDC:ErrCheckClusterVersionFromPD'],
  ['garbage', 200, '\u0000<html>', 'CDC:ErrCheckClusterVersionFromPD'],
  ['a failure', 503, '{"version":"v8.5.1"}', 'CDC:ErrCheckClusterVersionFromPD'],
] as const)
  test(`PD tells ${name}: ${code ?? 'fine'}`, async () => {
    const server = createServer((request, response) => {
      response.statusCode = request.url === '/pd/api/v1/version' ? status : 404
      response.end(body)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : 0
    const check = checkPdVersion(['http://127.0.0.1:1', `http://127.0.0.1:${port}`], {}, hasty, signal)
    try {
      if (code === undefined) await check
      else await assert.rejects(check, { code })
    } finally {
      server.close()
      server.closeAllConnections()
    }
  })
