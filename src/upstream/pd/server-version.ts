import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'

import type { Clock } from '../../base/clock.ts'
import { CdcError, describeError } from '../../base/errors.ts'
import { retry } from '../../base/retry.ts'
import type { SecurityOptions } from './pd.ts'
import { checkServerVersion } from './version.ts'

const TIMEOUT_MS = 10_000
const POLICY = { baseMs: 10, capMs: 1000, tries: 10 }
const MAX_ANSWER_BYTES = 1 << 20

/**
 * Asks PD over HTTP of which version it is; one good member is enough. Rejects with `CDC:ErrVersionIncompatible` for one that
 * we cannot work with, and with `CDC:ErrCheckClusterVersionFromPD` when none tells. (reference: upstream, section 3.7)
 */
export async function checkPdVersion(
  endpoints: readonly string[],
  security: SecurityOptions,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const failures: string[] = []
  for (const endpoint of endpoints) {
    const url = `${endpoint.replace(/\/$/, '')}/pd/api/v1/version`
    try {
      checkServerVersion('PD', await retry(() => versionAt(url, security, signal), POLICY, clock, signal))
      return
    } catch (error) {
      if (signal.aborted || error instanceof CdcError) throw error
      failures.push(`${url}: ${describeError(error)}`)
    }
  }
  throw new CdcError('CDC:ErrCheckClusterVersionFromPD', `failed to request PD: ${failures.join('; ')}`)
}

async function versionAt(url: string, security: SecurityOptions, signal: AbortSignal): Promise<string> {
  const answer: unknown = JSON.parse(await get(url, security, signal))
  if (typeof answer !== 'object' || answer === null || !('version' in answer) || typeof answer.version !== 'string')
    throw new Error('the answer has no version')
  return answer.version
}

function get(url: string, security: SecurityOptions, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const read = (path: string | undefined): Buffer | undefined => (path ? readFileSync(path) : undefined)
    const secure = url.startsWith('https:')
    const tls = secure
      ? { ca: read(security.caPath), cert: read(security.certPath), key: read(security.keyPath) }
      : undefined
    const options = { signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]), agent: false, ...tls }
    const request = (secure ? httpsRequest : httpRequest)(url, options, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (part: string) => {
        text += part
        if (text.length > MAX_ANSWER_BYTES) response.destroy(new Error('the answer is too long'))
      })
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode === 200) resolve(text)
        else reject(new Error(`status ${response.statusCode ?? 0}`))
      })
    })
    request.on('error', reject)
    request.end()
  })
}
