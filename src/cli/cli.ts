import { createInterface } from 'node:readline'
import { describeError, isAbort } from '../base/errors.ts'
import type { Command, CommandContext } from './command.ts'
import { root } from './commands.ts'
import { FlagValues, helpFlag, parseFlags, requireFlags, UsageError, type Flag } from './flags.ts'
import { helpText, last, pathText, usageText, type CommandPath } from './usage.ts'

/** Where a command line's texts go and come from. */
export interface Terminal {
  readonly stdin: NodeJS.ReadableStream
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean | undefined }
  readonly stderr: NodeJS.WritableStream
}

/** Runs one `cdc` command line and returns its exit code. Streams and codes: reference interface, section 0.2. */
export async function runCli(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
  terminal: Terminal = process,
): Promise<number> {
  const print = (text: string): void => void terminal.stdout.write(text)
  const printError = (text: string): void => void terminal.stderr.write(`${text}\n`)
  const words = argv[0] === 'help' ? [...argv.slice(1), '--help'] : argv
  const { path, rest } = findCommand(words)
  const command = last(path)
  try {
    const flags = flagsOf(path)
    const { given, words: extra } = parseFlags([...flags, helpFlag], rest)
    if (given.get('help') === 'true') {
      print(helpText(path))
      return 0
    }
    if (extra.length > 0 && command.load === undefined) {
      const text = `unknown command ${JSON.stringify(extra[0])} for ${JSON.stringify(pathText(path))}`
      printError(`Error: ${text}\nRun '${pathText(path)} --help' for usage.\n${text}`)
      return 1
    }
    if (command.load === undefined) {
      print(helpText(path))
      return 0
    }
    if (extra.length > 0)
      throw new UsageError(`unknown command ${JSON.stringify(extra[0])} for ${JSON.stringify(pathText(path))}`)
    requireFlags(flags, given)
    const context = createContext(new FlagValues(flags, given), env, signal, terminal)
    return await (await command.load()).run(context)
  } catch (error) {
    if (signal.aborted && isAbort(error)) return 130
    const text = describeError(error)
    printError(`Error: ${text}`)
    if (error instanceof UsageError) {
      print(`${usageText(path)}\n`)
      printError(text)
    }
    if (text.includes('CDC:ErrCredentialNotFound')) printError(CREDENTIAL_HINTS)
    return 1
  }
}

const CREDENTIAL_HINTS = [
  'You can provide credentials in one of these ways:',
  '1. cdc cli --user <user> --password <password>',
  '2. export TICDC_USER=<user> TICDC_PASSWORD=<password>',
  '3. a file ~/.ticdc/credentials with ticdc_user and ticdc_password',
].join('\n')

/** The deepest command that the first words name; flags may stand between them. */
function findCommand(words: readonly string[]): { path: CommandPath; rest: string[] } {
  let path: CommandPath = [root]
  const rest: string[] = []
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? ''
    if (word.startsWith('-')) {
      rest.push(word)
      if (takesNext(path, word)) rest.push(...words.slice(++at, at + 1))
      continue
    }
    const child: Command | undefined = last(path).commands?.find((command) => command.name === word)
    if (child === undefined) return { path, rest: [...rest, ...words.slice(at)] }
    path = [...path, child]
  }
  return { path, rest }
}

/** True when a flag between commands has its value in the next word. */
function takesNext(path: CommandPath, word: string): boolean {
  const name = word.replace(/^--?/, '')
  const flag = flagsOf(path).find((one) => (word.startsWith('--') ? one.name === name : one.short === name))
  return flag !== undefined && flag.kind !== 'bool'
}

const flagsOf = (path: CommandPath): Flag[] => [
  ...(last(path).flags ?? []),
  ...path.flatMap((command) => command.groupFlags ?? []),
]

function createContext(
  flags: FlagValues,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
  terminal: Terminal,
): CommandContext {
  const colour = terminal.stdout.isTTY === true && env['NO_COLOR'] === undefined
  let typed: AsyncIterator<string> | undefined
  let words: string[] = []
  return {
    flags,
    env,
    signal,
    print: (line) => void terminal.stdout.write(`${line}\n`),
    warn: (line) => void terminal.stdout.write(colour ? `\u001b[93m${line}\u001b[0m\n` : `${line}\n`),
    async readWord() {
      typed ??= createInterface({ input: terminal.stdin })[Symbol.asyncIterator]()
      while (words.length === 0) {
        const line = await typed.next()
        if (line.done === true) return undefined
        words = line.value.split(/\s+/).filter((word) => word !== '')
      }
      return words.shift()
    },
  }
}
