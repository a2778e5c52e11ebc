/** What a part of `npm run soak` has seen: a line for docs/RELIABILITY.md, with the machine. */
import { availableParallelism, cpus, loadavg } from 'node:os'
import { LONG } from './scale.ts'

export function report(part: string, figures: string): void {
  if (!LONG) return
  const machine = `${availableParallelism()} × ${cpus()[0].model.trim()}, load ${loadavg()[0].toFixed(1)}, Node ${process.versions.node}`
  console.log(`\n| ${part} | ${new Date().toISOString().slice(0, 10)} | ${figures} | ${machine} |\n`)
}

/** The smallest number that the share `p` of them does not exceed. */
export function percentile(values: number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(p * sorted.length) - 1))] ?? Number.NaN
}

export function milliseconds(values: number[]): string {
  const [p50, p99] = [0.5, 0.99].map(p => percentile(values, p).toFixed(1))
  const most = values.reduce((a, b) => Math.max(a, b), 0).toFixed(1)
  return `p50 ${p50} ms, p99 ${p99} ms, most ${most} ms of ${values.length}`
}
