/** Starts a server as a process of its own, as it runs in production, and stops it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { LoopDelay } from './monitored.ts'

export interface Service {
  url: string
  /** resident memory of the process in MB: now, and the most it ever was (Linux) */
  memory(): { now: number; most: number }
  /** of `monitored.ts`: measures how long the event loop is held while `run` goes on */
  loopDelay(run: () => Promise<unknown>): Promise<LoopDelay>
  stop(): void
}

export async function startService(file: string, env: Record<string, string> = {}): Promise<Service> {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const child: ChildProcess = spawn(process.execPath, [path], {
    env: { ...process.env, PORT: '0', LOG_LEVEL: 'info', ...env },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', code => reject(new Error(`${file} ended with ${code} before it listened`)))
    child.stdout?.on('data', data => {
      const found = /listening at (http:\/\/[\d.:]+)/.exec(String(data))
      if (found) resolve(found[1])
    })
  })
  return {
    url,
    memory() {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
      const megabytes = (field: string) => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 1024
      return { now: megabytes('VmRSS'), most: megabytes('VmHWM') }
    },
    async loopDelay(run) {
      child.send('begin')
      await run()
      child.send('end')
      const [report] = await once(child, 'message')
      return report
    },
    stop: () => void child.kill('SIGKILL'),
  }
}
