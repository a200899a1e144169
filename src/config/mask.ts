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
    const masked = pairs.map(([name, value]) => [name, maskParameter(name, value)] as const)
    const secret = masked.some(([, value], at) => value !== pairs[at]?.[1])
    const query = secret ? encodeGoQuery(masked) : url.query
    return formatGoUrl({ ...url, query, ...(url.password === undefined ? {} : { password: MASK }) })
  } catch {
    return '<invalid uri>'
  }
}

/** The registry's address may hold a password of its own. */
function maskParameter(name: string, value: string): string {
  if (name === 'schema-registry') return value.includes('@') ? maskSinkUri(value) : value
  return SECRET_WORDS.some((word) => name.toLowerCase().includes(word)) ? MASK : value
}

/** `uri` with its masked parts as `current` has them: a URI that was read masked can be edited and sent back. */
export function restoreMaskedUri(uri: string, current: string): string {
  if (!uri.includes(MASK)) return uri
  if (uri === maskSinkUri(current)) return current
  try {
    const [url, before] = [parseGoUrl(uri), parseGoUrl(current)]
    const known = new Map(parseGoQuery(before.query).toReversed())
    const pairs = parseGoQuery(url.query)
    const restored = pairs.map(([name, value]) => {
      const old = known.get(name)
      return [name, old !== undefined && value === maskParameter(name, old) ? old : value] as const
    })
    const query = restored.some(([, value], at) => value !== pairs[at]?.[1]) ? encodeGoQuery(restored) : url.query
    const password = url.password === MASK ? before.password : url.password
    return formatGoUrl({ ...url, query, password })
  } catch {
    return uri
  }
}
