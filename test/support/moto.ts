/** AWS in a process: moto's server, from PyPI. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { python } from './consumer.ts'
import { freePorts, run, waitFor } from './process.ts'
import type { Availability } from './require.ts'

const server = (): string => join(dirname(python()), 'moto_server')

export async function available(): Promise<Availability> {
  return existsSync(server()) ? true : 'the Python package moto is missing (run: npm run setup:test)'
}

export interface Moto extends AsyncDisposable {
  /** For AWS_ENDPOINT_URL. */
  readonly url: string
}

export async function startMoto(wantedPort?: number): Promise<Moto> {
  const [freePort = 0] = await freePorts(1)
  const port = wantedPort ?? freePort
  const moto = await run(server(), ['-H', '127.0.0.1', '-p', String(port)])
  const url = `http://127.0.0.1:${port}`
  await waitFor(`moto at ${url}`, async () => (await fetch(`${url}/moto-api/`).catch(() => undefined))?.ok)
  return { url, [Symbol.asyncDispose]: () => moto[Symbol.asyncDispose]() }
}
