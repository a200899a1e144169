/**
 * URLs as Go's net/url reads them (reference: interface, section 4.1). The WHATWG parser of JavaScript cannot be used:
 * it refuses lists of brokers and normalizes what users compare.
 */
export interface GoUrl {
  /** Lower case. */
  readonly scheme: string
  readonly user: string | undefined
  readonly password: string | undefined
  /** With port, percent-decoded; may be a list. */
  readonly host: string
  /** Percent-decoded, with its leading slash. */
  readonly path: string
  /** As written, without the question mark. */
  readonly query: string
  readonly fragment: string
}

/** Why a text is no URL; never contains parts of it that may be secret. */
export class UrlSyntaxError extends Error {
  override readonly name = 'UrlSyntaxError'
}

export function parseGoUrl(text: string): GoUrl {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\x00-\x1f\x7f]/.test(text)) throw new UrlSyntaxError('invalid control character in URL')
  const [withoutFragment, fragment = ''] = cut(text, '#')
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(withoutFragment)?.[1]
  if (scheme === undefined && /^[^/?]*:/.test(withoutFragment))
    throw new UrlSyntaxError(
      withoutFragment.startsWith(':') ? 'missing protocol scheme' : 'first path segment in URL cannot contain colon',
    )
  const [hierarchy, query = ''] = cut(withoutFragment.slice(scheme === undefined ? 0 : scheme.length + 1), '?')
  const base = { scheme: (scheme ?? '').toLowerCase(), query, fragment }
  if (!hierarchy.startsWith('//'))
    return { ...base, user: undefined, password: undefined, host: '', path: unescape(hierarchy, 'path') }
  const slash = hierarchy.indexOf('/', 2)
  const authority = hierarchy.slice(2, slash < 0 ? undefined : slash)
  const path = slash < 0 ? '' : unescape(hierarchy.slice(slash), 'path')
  return { ...base, ...parseAuthority(authority), path }
}

function parseAuthority(authority: string): Pick<GoUrl, 'user' | 'password' | 'host'> {
  const at = authority.lastIndexOf('@')
  const host = parseHost(authority.slice(at + 1))
  if (at < 0) return { user: undefined, password: undefined, host }
  const userinfo = authority.slice(0, at)
  if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(userinfo))
    throw new UrlSyntaxError('net/url: invalid userinfo; percent-encode special characters of user and password')
  const [user, password] = cut(userinfo, ':')
  return {
    user: unescape(user, 'user name'),
    password: password === undefined ? undefined : unescape(password, 'password'),
    host,
  }
}

function parseHost(host: string): string {
  const port = host.startsWith('[') ? host.slice(host.lastIndexOf(']') + 1) : host.slice(host.lastIndexOf(':'))
  if (host.startsWith('[') && !host.includes(']')) throw new UrlSyntaxError("missing ']' in host")
  const ported = host.startsWith('[') || host.includes(':')
  if (ported && !/^(?::\d*)?$/.test(port))
    throw new UrlSyntaxError(
      'invalid port after host; if the password contains one of / ? # @, percent-encode it (%2F %3F %23 %40)',
    )
  return unescape(host, 'host')
}

/** Percent-decoding; a malformed escape is an error in these parts of a URL. */
function unescape(text: string, part: string): string {
  const decoded = percentDecode(text)
  if (decoded === undefined) throw new UrlSyntaxError(`invalid URL escape in the ${part}; write a literal % as %25`)
  return decoded
}

function percentDecode(text: string): string | undefined {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return undefined
  const bytes: number[] = []
  const raw = Buffer.from(text)
  for (let at = 0; at < raw.length; at++) {
    const byte = raw[at] ?? 0
    if (byte !== 0x25) {
      bytes.push(byte)
      continue
    }
    bytes.push(Number.parseInt(raw.toString('latin1', at + 1, at + 3), 16))
    at += 2
  }
  return Buffer.from(bytes).toString()
}

/**
 * Pairs of a query, in order: `+` is a space, empty pairs are skipped, pairs with `;` or a malformed escape are dropped.
 */
export function parseGoQuery(query: string): [name: string, value: string][] {
  const pairs: [string, string][] = []
  for (const pair of query.split('&')) {
    if (pair === '' || pair.includes(';')) continue
    const [name, value] = cut(pair, '=').map((part) => percentDecode((part ?? '').replaceAll('+', ' ')))
    if (name !== undefined && value !== undefined) pairs.push([name, value])
  }
  return pairs
}

/** Sorted by name and percent-encoded as Go's `Values.Encode` does it. */
export function encodeGoQuery(pairs: readonly (readonly [string, string])[]): string {
  return pairs
    .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => `${queryEscape(name)}=${queryEscape(value)}`)
    .join('&')
}

const queryEscape = (text: string): string =>
  encodeURIComponent(text)
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+')

/** The URL as text again; user info, path and fragment are percent-encoded. */
export function formatGoUrl(url: GoUrl): string {
  const user =
    url.user === undefined
      ? ''
      : `${userEscape(url.user)}${url.password === undefined ? '' : `:${userEscape(url.password)}`}@`
  const authority = url.host === '' && user === '' && !url.path.startsWith('/') ? '' : `//${user}${url.host}`
  const query = url.query === '' ? '' : `?${url.query}`
  const fragment = url.fragment === '' ? '' : `#${encodeURI(url.fragment)}`
  return `${url.scheme === '' ? '' : `${url.scheme}:`}${authority}${encodeURI(url.path)}${query}${fragment}`
}

const userEscape = (text: string): string =>
  encodeURIComponent(text).replace(/%(24|26|2B|2C|3B|3D)/g, (code) => decodeURIComponent(code))

/** Splits at the first separator; the second part is undefined where there is none. */
function cut(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)]
}
