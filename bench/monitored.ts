/**
 * The server as it runs in production, telling its parent how long its event loop was held: by the clock, and, because on
 * a busy machine most of that is waiting for a core, by the main thread's own CPU time.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import '../src/main.ts'

/** Milliseconds beyond the interval at which the loop was looked at. */
export interface LoopDelay {
  p50: number
  p99: number
  longest: number
  /** CPU time of the main thread between two looks */
  cpuP99: number
  cpuLongest: number
}

const RESOLUTION_MS = 1
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
let spent: number[] = []
let timer: NodeJS.Timeout | undefined

process.on('message', message => {
  if (message === 'begin') {
    begin()
    return
  }
  clearInterval(timer)
  spent.sort((a, b) => a - b)
  const ms = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS)
  const report: LoopDelay = {
    p50: ms(delay.percentile(50)),
    p99: ms(delay.percentile(99)),
    longest: ms(delay.max),
    cpuP99: spent[Math.floor(spent.length * 0.99)],
    cpuLongest: spent[spent.length - 1],
  }
  delay.disable()
  process.send?.(report)
})

function begin(): void {
  delay.enable()
  delay.reset()
  spent = []
  let before = process.threadCpuUsage()
  timer = setInterval(() => {
    const { user, system } = process.threadCpuUsage(before)
    before = process.threadCpuUsage()
    spent.push((user + system) / 1000)
  }, RESOLUTION_MS)
}
