import { parse, TomlError } from 'smol-toml'
import { decodeKeys, type ConfigFault } from './decode-keys.ts'
import { fileName, type Decoded, type Fields, type TableOptions } from './key-table.ts'

/** Faults of a configuration file, one text per fault; TiCDC has no code for them. */
export class ConfigFileError extends Error {
  readonly faults: readonly string[]

  constructor(faults: readonly string[], options?: ErrorOptions) {
    super(faults.join('\n'), options)
    this.name = 'ConfigFileError'
    this.faults = faults
  }
}

export interface ConfigFile<F extends Fields> {
  readonly text: string
  /** Shown in messages. */
  readonly path: string
  /** `TiCDC changefeed` or `TiCDC server`. */
  readonly component: string
  readonly table: TableOptions & { readonly fields: F }
  /** What keys have that the file does not name. */
  readonly base: object
  /** Top-level tables whose unknown keys are let pass. */
  readonly lenient?: readonly string[]
}

/** Decodes a TOML file strictly; rejects with every fault. `warnings` name keys that are accepted and mean nothing. */
export function decodeConfigFile<F extends Fields>(file: ConfigFile<F>): { value: Decoded<F>; warnings: string[] } {
  const faults: ConfigFault[] = []
  const value = decodeKeys(file.table, parseToml(file.text, file.path), file.base, {
    nameOf: fileName,
    report: (fault) => faults.push(fault),
  })
  const errors: string[] = []
  const warnings: string[] = []
  const unknown: string[] = []
  for (const fault of faults) {
    const key = fault.path.join('.')
    const where = `${file.path}: toml: line ${lineOf(file.text, fault.path)} (last key ${JSON.stringify(key)}): `
    if (fault.kind === 'unknown') {
      if (file.lenient?.includes(fault.path[0]?.toLowerCase() ?? '') !== true && !unknown.includes(key))
        unknown.push(key)
    } else if (fault.kind === 'retired') warnings.push(`${key} in ${file.path} is ignored: ${fault.why}`)
    else if (fault.kind === 'value') errors.push(where + fault.problem)
    else
      errors.push(
        `${where}incompatible types: TOML value has type ${fault.found}; destination has type ${fault.wanted}`,
      )
  }
  if (unknown.length > 0)
    errors.push(
      `component ${file.component}'s config file ${file.path} contained unknown configuration options: ${unknown.join(', ')}`,
    )
  if (errors.length > 0) throw new ConfigFileError(errors)
  return { value, warnings }
}

function parseToml(text: string, path: string): Record<string, unknown> {
  try {
    return parse(text, { integersAsBigInt: 'asNeeded' })
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const reason = (error.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '')
    throw new ConfigFileError([`${path}: toml: line ${error.line}, column ${error.column}: ${reason}`], {
      cause: error,
    })
  }
}

/** The line (from 1) on which a key stands, or its nearest named parent; keys inside inline tables are their table's. */
export function lineOf(text: string, path: readonly string[]): number {
  const wanted = path.join('.')
  let section = ''
  let best = 0
  let line = 1
  for (const [index, content] of text.split('\n').entries()) {
    const header = /^\s*\[\[?\s*([^\]]+?)\s*\]\]?/.exec(content)?.[1]
    const key = /^\s*([^=#[]+?)\s*=/.exec(content)?.[1]
    if (header !== undefined) section = plainKey(header)
    const name = header === undefined ? join(section, plainKey(key ?? '')) : section
    if ((header === undefined && key === undefined) || name.length <= best) continue
    if (name === wanted || wanted.startsWith(`${name}.`)) {
      best = name.length
      line = index + 1
    }
  }
  return line
}

const plainKey = (key: string): string =>
  key
    .split('.')
    .map((part) => part.trim().replace(/^["']|["']$/g, ''))
    .join('.')
const join = (section: string, key: string): string => (section === '' ? key : `${section}.${key}`)
