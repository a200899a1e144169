import type { Flag, FlagValues } from './flags.ts'

/** What a command may touch. */
export interface CommandContext {
  readonly flags: FlagValues
  /** The process's environment, as main.ts was given it. */
  readonly env: NodeJS.ProcessEnv
  /** Aborted by the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal
  /** To stdout; a line ending is added. */
  print(line: string): void
  /** A warning to stdout, bright yellow on a terminal. */
  warn(line: string): void
  /** The next word that the user types, undefined at the end of the input. */
  readWord(): Promise<string | undefined>
}

/** What a command's module exports. It resolves with the exit code; a thrown error is printed, and is 1. */
export interface CommandModule {
  run(context: CommandContext): Promise<number>
}

/** A node of the tree of commands. */
export interface Command {
  readonly name: string
  readonly short: string
  readonly flags?: readonly Flag[]
  /** Flags that its sub-commands have too. */
  readonly groupFlags?: readonly Flag[]
  readonly commands?: readonly Command[]
  /** Loads the module on use; a command without one is a group. */
  readonly load?: () => Promise<CommandModule>
  readonly hidden?: true
}
