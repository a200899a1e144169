import { encodeGoQuery, formatGoUrl, parseGoQuery, parseGoUrl } from './go-url.ts'

const SECRET_WORDS = [
  'password',
  'passwd',
  'pwd',
  'access',
  'token',
  'secret',
  'key',
  'signature',
  'credential',
  'private',
  'client',
]

/** What stands where a secret was: in URIs, and in configurations. */
export const MASK = 'xxxxx'
export const CONFIG_MASK = '******'

/** A URI with its password and every parameter that smells of a secret replaced; for logs, errors and answers. */
export function maskSinkUri(uri: string): string {
  try {
    const url = parseGoUrl(uri)
    const pairs = parseGoQuery(url.query)
    const secret = (name: string): boolean => SECRET_WORDS.some((word) => name.toLowerCase().includes(word))
    const query = pairs.some(([name]) => secret(name))
      ? encodeGoQuery(pairs.map(([name, value]) => [name, secret(name) ? MASK : value]))
      : url.query
    return formatGoUrl({ ...url, query, ...(url.password === undefined ? {} : { password: MASK }) })
  } catch {
    return '<invalid uri>'
  }
}
