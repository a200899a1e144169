/** Runs one `cdc` command line and returns its exit code. */
export async function runCli(argv: readonly string[], _env: NodeJS.ProcessEnv): Promise<number> {
  process.stderr.write(`Error: unknown command ${JSON.stringify(argv[0] ?? '')} for "cdc"\n`)
  return 1
}
