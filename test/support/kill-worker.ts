// Loaded into a server (`NODE_OPTIONS=--import=…`): SIGUSR2 ends one of its data workers, one after the other.
import { isMainThread, type Worker } from 'node:worker_threads'

if (isMainThread) {
  const threads: Worker[] = []
  process.on('worker', (thread) => {
    threads.push(thread)
    thread.once('exit', () => threads.splice(threads.indexOf(thread), 1))
  })
  process.on('SIGUSR2', () => {
    const thread = threads.shift()
    if (thread === undefined) return
    threads.push(thread)
    void thread.terminate()
  })
}
