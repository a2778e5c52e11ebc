/** A thread that sends small requests, one after the other with pauses between, until it is told to stop. */
import { parentPort, workerData } from 'node:worker_threads'
import { exchange, JSON_TYPE, requestBody } from './client.ts'

const { url, shape, pauseMs } = workerData as { url: string; shape: number[]; pauseMs: number }
const body = requestBody('nested', shape)
const times: number[] = []
let running = true
parentPort?.once('message', () => {
  running = false
})
while (running) {
  times.push((await exchange(url, JSON_TYPE, body)).ms)
  await new Promise(resolve => setTimeout(resolve, pauseMs))
}
parentPort?.postMessage(times)
