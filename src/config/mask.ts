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

/** `uri` with its masked parts as `current` has them: a URI that was read masked can be edited and sent back. */
export function restoreMaskedUri(uri: string, current: string): string {
  if (!uri.includes(MASK)) return uri
  if (uri === maskSinkUri(current)) return current
  try {
    const [url, before] = [parseGoUrl(uri), parseGoUrl(current)]
    const known = new Map(parseGoQuery(before.query).toReversed())
    const pairs = parseGoQuery(url.query)
    const restored = pairs.map(([name, value]) => [name, value === MASK ? (known.get(name) ?? value) : value] as const)
    const query = pairs.some(([, value]) => value === MASK) ? encodeGoQuery(restored) : url.query
    const password = url.password === MASK ? before.password : url.password
    return formatGoUrl({ ...url, query, password })
  } catch {
    return uri
  }
}
