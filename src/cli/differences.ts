import { isTable } from '../config/decode-keys.ts'
import { stringifyJson } from '../tidb/json-big.ts'

/** One line per member that differs: `{Type:update Path:[Config Sink Protocol] From:… To:…}`. */
export function differences(from: unknown, to: unknown, path: readonly string[] = []): string[] {
  if (isTable(from) && isTable(to)) {
    const names = new Set([...Object.keys(from), ...Object.keys(to)])
    return [...names].flatMap((name) => differences(from[name], to[name], [...path, pascalCase(name)]))
  }
  const [before, after] = [shown(from), shown(to)]
  if (before === after) return []
  const type = from === undefined ? 'create' : to === undefined ? 'delete' : 'update'
  return [`{Type:${type} Path:[${path.join(' ')}] From:${before} To:${after}}`]
}

const shown = (value: unknown): string => {
  if (value === undefined || value === null) return '<nil>'
  return typeof value === 'string' ? value : stringifyJson(value)
}

const pascalCase = (name: string): string =>
  name.replace(/(?:^|[_-])([a-z])/g, (_match, letter: string) => letter.toUpperCase())
