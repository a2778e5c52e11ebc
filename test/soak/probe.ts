/** A client in a thread of its own: small requests at a steady pace, whatever the load; their times are those of a client that is not busy itself. */
import { Agent, request } from 'node:http'
import { parentPort, workerData } from 'node:worker_threads'
import { SMALL } from './small.ts'

interface Given {
  port: number
  everyMs: number
}

const { port, everyMs } = workerData as Given
const agent = new Agent({ keepAlive: true, maxSockets: 64 })
const times: number[] = []
const statuses: Record<string, number> = {}
let open = 0
let going = true

function note(status: number | string, begun: number): void {
  open--
  statuses[status] = (statuses[status] ?? 0) + 1
  if (status === 200) times.push(performance.now() - begun)
  if (!going && open === 0) tell()
}

function ask(): void {
  const begun = performance.now()
  open++
  const headers = { 'content-type': 'application/json', 'content-length': SMALL.length }
  const asked = request({ port, agent, path: '/v1/attention', method: 'POST', headers }, answer => {
    answer.resume()
    answer.on('end', () => note(answer.statusCode ?? 0, begun))
  })
  asked.on('error', error => note((error as NodeJS.ErrnoException).code ?? error.message, begun))
  asked.end(SMALL)
}

const clock = setInterval(ask, everyMs)
parentPort?.once('message', () => {
  going = false
  clearInterval(clock)
  if (open === 0) tell()
})

function tell(): void {
  parentPort?.postMessage({ times, statuses })
  agent.destroy()
}
