import { runCli } from './cli/cli.ts'

// The first signal stops gracefully, the second at once.
const stopping = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const)
  process.on(name, () => {
    if (stopping.signal.aborted) process.exit(130)
    stopping.abort(new DOMException(`stopped by ${name}`, 'AbortError'))
  })

process.exitCode = await runCli(process.argv.slice(2), process.env, stopping.signal)
