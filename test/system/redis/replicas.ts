/** Servers of their own processes, over one Redis and one folder. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, onTestFinished } from 'vitest'
import type { Answer } from '../../service/server.ts'

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url))

export type Reply = Answer

const folders: string[] = []
// of the file: in a test that is running a hook would never be called
afterAll(() => Promise.all(folders.map(folder => rm(folder, { recursive: true, force: true }))))

export async function temporaryStore(): Promise<{ folder: string; url: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'store-'))
  folders.push(folder)
  return { folder, url: pathToFileURL(folder).href }
}

/** Several, for all tests of a file. */
export async function startReplicas(count: number, env: Record<string, string>): Promise<Replica[]> {
  const replicas = await Promise.all(Array.from({ length: count }, () => Replica.start(env)))
  afterAll(async () => void (await Promise.all(replicas.map(replica => replica.kill()))))
  return replicas
}

/** One for a test. */
export async function startReplica(env: Record<string, string>): Promise<Replica> {
  const replica = await Replica.start(env)
  onTestFinished(() => replica.kill())
  return replica
}

export class Replica {
  url = ''
  readonly #env: Record<string, string>
  #process: ChildProcess | undefined

  static async start(env: Record<string, string>): Promise<Replica> {
    const replica = new Replica(env)
    await replica.begin()
    return replica
  }

  private constructor(env: Record<string, string>) {
    this.#env = env
  }

  async begin(): Promise<void> {
    const child = spawn(process.execPath, [MAIN], {
      env: {
        ...process.env,
        PORT: '0',
        THREADS: '1',
        MEMORY_BYTES: String(256 << 20),
        KERNELS: 'wide',
        SHUTDOWN_DELAY_SECONDS: '0',
        JOB_LOCK_SECONDS: '1',
        JOBS_AT_ONCE: '2',
        ...this.#env,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#process = child
    let log = ''
    for await (const text of child.stdout as AsyncIterable<Buffer>) {
      log += text
      const [, found] = log.match(/listening at (http:\/\/127\.0\.0\.1:\d+)/) ?? []
      if (found !== undefined) {
        this.url = found
        break
      }
    }
    child.stdout?.resume()
    if (this.url === '') throw new Error(`no server: ${log}`)
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (child === undefined || child.exitCode !== null) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }

  async ask(path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> {
    const method = body === undefined ? 'GET' : 'POST'
    const response = await fetch(this.url + path, {
      method,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return { status: response.status, headers: response.headers, body: await response.json() }
  }
}
