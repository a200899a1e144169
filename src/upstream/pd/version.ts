import { CdcError } from '../../base/errors.ts'

/** What TiCDC v8.5 accepts of PD and TiKV (reference: upstream, section 3.8). */
const MINIMUM = '7.1.0-alpha'
const BELOW = [10, 0, 0] as const

/** Throws `CDC:ErrVersionIncompatible` for a PD or TiKV that we cannot work with. */
export function checkServerVersion(component: 'PD' | 'TiKV', version: string): void {
  const parsed = parse(version)
  if (parsed === undefined) {
    throw new CdcError(
      'CDC:ErrVersionIncompatible',
      `version is incompatible: ${component} has no version: '${version}'`,
    )
  }
  const text = sanitize(version)
  if (
    compare(parsed.numbers, [7, 1, 0]) < 0 ||
    (compare(parsed.numbers, [7, 1, 0]) === 0 && isOlderAlpha(parsed.tag))
  ) {
    const message = `${component} ${text} is not supported, the minimal compatible version is ${MINIMUM}`
    throw new CdcError('CDC:ErrVersionIncompatible', `version is incompatible: ${message}`)
  }
  if (compare(parsed.numbers, BELOW) >= 0) {
    const message = `${component} ${text} is not supported, only support version less than ${BELOW.join('.')}`
    throw new CdcError('CDC:ErrVersionIncompatible', `version is incompatible: ${message}`)
  }
}

/** Without git hash, `-fips`, `-dirty` and the leading `v`. */
function sanitize(version: string): string {
  return version
    .replace(/-\d+-g[0-9a-f]{7,}(-dev)?/, '')
    .replace(/-fips/, '')
    .replace(/-dirty/, '')
    .replace(/^v/, '')
    .trim()
}

function parse(version: string): { numbers: readonly number[]; tag: string } | undefined {
  const match = /^(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?$/.exec(sanitize(version))
  if (match === null) return undefined
  return { numbers: match.slice(1, 4).map(Number), tag: match[4] ?? '' }
}

/** A pre-release that sorts before `alpha`, the first one that is accepted. */
const isOlderAlpha = (tag: string): boolean => tag !== '' && tag < 'alpha'

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [i, part] of a.entries()) if (part !== b[i]) return part - (b[i] ?? 0)
  return 0
}
