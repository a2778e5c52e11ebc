/** Debian's redis-server on a free port of the loopback, for a test; gone with it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll } from 'vitest'
import { freePort } from '../../support/free-port.ts'

const started: RedisServer[] = []
// of the file and not of a server: in a test that is running a hook would never be called
afterAll(() => Promise.all(started.map(server => server.end())))

export class RedisServer {
  readonly port: number
  readonly folder: string
  #process: ChildProcess | undefined

  static async start(): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), await mkdtemp(join(tmpdir(), 'redis-')))
    started.push(server)
    await server.begin()
    return server
  }

  private constructor(port: number, folder: string) {
    this.port = port
    this.folder = folder
  }

  /** Each test may have a database of its own. */
  url(database = 0): string {
    return `redis://127.0.0.1:${this.port}/${database}`
  }

  /** With an append-only file, synced with every write: what it has answered it knows when it comes back. */
  async begin(): Promise<void> {
    const options = `--port ${this.port} --bind 127.0.0.1 --dir ${this.folder} --save --appendonly yes --appendfsync always`
    this.#process = spawn('redis-server', options.split(' '), { stdio: 'ignore' })
    const client = new Redis(this.url(), {
      lazyConnect: true,
      retryStrategy: () => 20,
      maxRetriesPerRequest: null,
    })
    client.on('error', () => {})
    await client.ping()
    client.disconnect()
  }

  async command(...words: string[]): Promise<unknown> {
    const client = new Redis(this.url())
    try {
      return await client.call(words[0], ...words.slice(1))
    } finally {
      client.disconnect()
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const process = this.#process
    this.#process = undefined
    if (process === undefined) return
    const gone = once(process, 'exit')
    process.kill(signal)
    await gone
  }

  async restart(signal?: NodeJS.Signals, awayMs = 0): Promise<void> {
    await this.stop(signal)
    await wait(awayMs)
    await this.begin()
  }

  async end(): Promise<void> {
    await this.stop()
    await rm(this.folder, { recursive: true, force: true })
  }
}
