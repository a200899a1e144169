import { runCli } from './cli/cli.ts'

// The first signal stops gracefully, the second at once.
const stopping = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const)
  process.on(name, () => {
    if (stopping.signal.aborted) process.exit(130)
    stopping.abort(new DOMException(`stopped by ${name}`, 'AbortError'))
  })

const code = await runCli(process.argv.slice(2), process.env, stopping.signal)
// Idle connections that have not closed yet must not hold a command back. Output to a pipe or file is written by now.
process.exit(code)
