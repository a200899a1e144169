import { parentPort, workerData } from 'node:worker_threads'
import { startWorker } from './worker.ts'
import type { ToWorker, WorkerStart } from '../changefeed/messages.ts'

if (parentPort === null) throw new TypeError('the data worker runs as a worker thread only')
const port = parentPort
const start: WorkerStart = workerData
const worker = await startWorker(start, (message) => port.postMessage(message))
port.on('message', (message: ToWorker) => worker.receive(message))
port.postMessage({ type: 'ready' })
