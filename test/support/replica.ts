/** The service as a process of its own, as an operator starts it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface Replica {
  port: number
  process: ChildProcess
  log: string[]
}

const started = new Set<ChildProcess>()
afterAll(() => {
  for (const child of started) child.kill('SIGKILL')
})

/** Resolves when it listens; `port` 0 takes a free one. */
export async function startReplica(env: Record<string, string> = {}, port = 0): Promise<Replica> {
  const child = spawn(process.execPath, ['src/main.ts'], {
    cwd: ROOT,
    env: {
      ...process.env,
      THREADS: '1',
      KERNELS: 'wide',
      MEMORY_BYTES: String(256 << 20),
      ...env,
      PORT: String(port),
    },
  })
  const log: string[] = []
  started.add(child)
  const listening = await new Promise<number>((resolve, reject) => {
    child.once('exit', code => reject(new Error(`ended with ${code}: ${log.join('')}`)))
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', text => {
        log.push(text)
        const found = /listening at http:\/\/127\.0\.0\.1:(\d+)/.exec(log.join(''))
        if (found) resolve(Number(found[1]))
      })
    }
  })
  return { port: listening, process: child, log }
}

/** Ends it as an orchestrator does, and resolves with its exit code. */
export async function terminate({ process }: Replica): Promise<number | null> {
  const gone = once(process, 'exit')
  process.kill('SIGTERM')
  const [code] = await gone
  return code
}
