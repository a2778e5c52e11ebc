/** What is asked of a server that runs as a process of its own. */
import { readFileSync } from 'node:fs'

/** The value of a metric without labels. */
export async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const [, value] = new RegExp(`^${name} (\\S+)$`, 'm').exec(text) ?? []
  if (value === undefined) throw new Error(`no metric ${name}`)
  return Number(value)
}

export interface Memory {
  /** tensor memory in use */
  used: number
  /** of the process, without tensor memory: what has once been grown of that stays */
  others: number
  heap: number
}

export async function memoryOf(url: string, pid: number): Promise<Memory> {
  const [used, committed, heap] = await Promise.all(
    ['attention_memory_used_bytes', 'attention_memory_committed_bytes', 'nodejs_heap_size_used_bytes'].map(
      name => metric(url, name),
    ),
  )
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return { used, others: Math.max(0, Number(kilobytes) * 1024 - committed), heap }
}

export function megabytes(bytes: number): string {
  return `${(bytes / (1 << 20)).toFixed(0)} MB`
}
