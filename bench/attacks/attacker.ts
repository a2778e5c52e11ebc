/** A thread that carries out one attack until it is told to stop; it answers with what came back, and how often. */
import { parentPort, workerData } from 'node:worker_threads'
import { ATTACKS } from './list.ts'

const { name, url } = workerData as { name: string; url: string }
const stop = new AbortController()
const statuses = new Map<string, number>()
parentPort?.once('message', () => stop.abort())
await ATTACKS.find(attack => attack.name === name)?.run(url, stop.signal, status => {
  statuses.set(status, (statuses.get(status) ?? 0) + 1)
})
parentPort?.postMessage(Object.fromEntries(statuses))
