// Preloaded into the server under `npm run bench -- --profile` (NODE_OPTIONS=--import), in its main thread and in every
// worker: samples the thread while the file `on` lies in the folder $TIDEWIRE_BENCH_PROFILE, and writes what it saw as
// `<thread>.cpuprofile` when the file has gone. A thread that samples has left `<thread>.started` behind.
import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { Session } from 'node:inspector'
import { join } from 'node:path'
import { isMainThread, threadId } from 'node:worker_threads'

const POLL_MS = 50
const SAMPLE_US = 500

const folder = process.env['TIDEWIRE_BENCH_PROFILE'] ?? ''
const thread = isMainThread ? 'main' : `worker-${threadId}`
let session: Session | undefined

setInterval(() => {
  const on = existsSync(join(folder, 'on'))
  if (on && session === undefined) start()
  if (!on && session !== undefined) stop(session)
}, POLL_MS).unref()

function start(): void {
  session = new Session()
  session.connect()
  session.post('Profiler.enable')
  session.post('Profiler.setSamplingInterval', { interval: SAMPLE_US })
  session.post('Profiler.start')
  writeFileSync(join(folder, `${thread}.started`), '')
}

function stop(running: Session): void {
  session = undefined
  running.post('Profiler.stop', (error, answer) => {
    const text = error === null ? JSON.stringify(answer.profile) : '{"nodes":[],"samples":[],"timeDeltas":[]}'
    writeFileSync(join(folder, `${thread}.part`), text)
    renameSync(join(folder, `${thread}.part`), join(folder, `${thread}.cpuprofile`))
    running.disconnect()
  })
}
