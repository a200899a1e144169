// Certificates for a test, made by openssl.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

import type { SecurityOptions } from '../../src/upstream/pd/pd.ts'
import { hasCommand } from './process.ts'

export const hasOpenssl = hasCommand('openssl', 'version')

/** A CA of its own, and a certificate signed by it for `names`, for servers and clients. */
export function makeCertificates(folder: string, names = 'IP:127.0.0.1,DNS:localhost'): Required<SecurityOptions> {
  const path = (name: string): string => join(folder, name)
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'ignore', cwd: folder })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=test-ca')
  const request = ['-keyout', 'key.pem', '-out', 'request.pem', '-subj', '/CN=test']
  openssl('req', ...key, ...request, '-addext', `subjectAltName=${names}`)
  const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-copy_extensions', 'copy']
  openssl('x509', '-req', '-in', 'request.pem', '-out', 'cert.pem', ...signing)
  return { caPath: path('ca.pem'), certPath: path('cert.pem'), keyPath: path('key.pem') }
}
