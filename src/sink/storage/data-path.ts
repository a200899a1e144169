import { CdcError } from '../../base/errors.ts'
import type { ProtocolName, StorageSettings } from '../../config/sink-settings.ts'
import type { TableVersion } from '../../event/table-version.ts'

export const dataExtension = (protocol: ProtocolName): string => (protocol === 'csv' ? '.csv' : '.json')
const PREFIX = 'CDC'
/** Fewest digits of an index that a reader accepts. */
const LEAST_DIGITS = 6

/** Folder of a table version's data files, below the root: `schema/table/version[/partition][/date]`. */
export function dataFolder(
  table: TableVersion,
  directoryVersion: bigint,
  date: string,
  settings: Pick<StorageSettings, 'partitionSeparator'>,
): string {
  const parts = [pathName(table.schema), pathName(table.table), String(directoryVersion)]
  if (settings.partitionSeparator && table.info.partitions !== undefined) parts.push(String(table.physicalId))
  if (date !== '') parts.push(date)
  return parts.join('/')
}

export const dataFileName = (index: bigint, digits: number, extension: string): string =>
  `${PREFIX}${String(index).padStart(digits, '0')}${extension}`

/** Path of the file, below a data folder, that names the last data file. */
export const INDEX_FILE = `meta/${PREFIX}.index`

/** The index in a data file's name; `CDC:ErrStorageSinkInvalidFileName` where it is none. */
export function parseDataFileName(name: string, extension: string): bigint {
  const digits = name.slice(PREFIX.length, -extension.length)
  const framed = name.startsWith(PREFIX) && name.endsWith(extension)
  if (!framed || digits.length < LEAST_DIGITS || !/^\d+$/.test(digits))
    throw new CdcError('CDC:ErrStorageSinkInvalidFileName', `invalid data file name '${name}'`)
  return BigInt(digits)
}

/** A schema's or table's name as a folder; names that would lead elsewhere are refused. */
export function pathName(name: string): string {
  if (/[/\0]/.test(name) || name === '.' || name === '..')
    throw new CdcError('CDC:ErrStorageSinkInvalidFileName', `the name '${name}' cannot be a folder`)
  return name
}

/** A function from ms since 1970 to the date folder's name, in a time zone. */
export function datePartOf(separator: StorageSettings['dateSeparator'], timeZone: string): (nowMs: number) => string {
  if (separator === 'none') return () => ''
  const format = new Intl.DateTimeFormat('en-CA', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' })
  const length = { year: 4, month: 7, day: 10 }[separator]
  return (nowMs) => format.format(nowMs).slice(0, length)
}
