/** Starts a server as a process of its own, as it runs in production, and stops it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface Service {
  url: string
  stop(): void
}

export async function startService(file: string, env: Record<string, string> = {}): Promise<Service> {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const child: ChildProcess = spawn(process.execPath, [path], {
    env: { ...process.env, PORT: '0', LOG_LEVEL: 'info', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', code => reject(new Error(`${file} ended with ${code} before it listened`)))
    child.stdout?.on('data', data => {
      const found = /listening at (http:\/\/[\d.:]+)/.exec(String(data))
      if (found) resolve(found[1])
    })
  })
  return { url, stop: () => void child.kill('SIGKILL') }
}
