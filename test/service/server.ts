/** A whole service on a loopback socket, for tests; its fresh memory is filled with NaN. */
import pino from 'pino'
import request from 'supertest'
import { afterAll } from 'vitest'
import { type App, buildApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import type { EngineOptions } from '../../src/engine/engine.ts'

export interface Server {
  app: App
  url: string
  /** what was logged */
  log: string[]
}

export async function startServer(
  env: Record<string, string> = {},
  options: EngineOptions = {},
): Promise<Server> {
  const log: string[] = []
  const logger = pino({ level: 'info' }, { write: line => void log.push(line) })
  // one variant for all: they round differently, and two servers on a busy machine may choose differently
  const config = readConfig({
    PORT: '0',
    THREADS: '2',
    MEMORY_BYTES: String(512 << 20),
    KERNELS: 'wide',
    ...env,
  })
  const app = await buildApp(config, logger, { fill: 0xff, ...options })
  await app.fastify.listen({ host: config.HOST, port: config.PORT })
  const address = app.fastify.server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  afterAll(() => app.close())
  return { app, url: `http://127.0.0.1:${address.port}`, log }
}

export const JSON_TYPE = 'application/json'
export const SAFETENSORS_TYPE = 'application/x-safetensors'

// biome-ignore lint/suspicious/noExplicitAny: answers are whatever the server sent; the tests say what they must be
export type Answer = { status: number; headers: Headers; body: any }

/** Posts JSON text or a value over a real socket and reads a JSON answer. */
export async function post(
  server: Server,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await request(server.url)
    .post(path)
    .set({ 'content-type': JSON_TYPE, ...headers })
    .send(typeof body === 'string' ? body : JSON.stringify(body))
  return { status: response.status, headers: new Headers(response.headers), body: response.body }
}

export const attention = (server: Server, body: unknown) => post(server, '/v1/attention', body)

/** Waits until every request's memory has been given back; `usedBytes` is then what it was before the first one. */
export async function settled(server: Server, usedBytes: number): Promise<number> {
  for (let turn = 0; turn < 200 && server.app.engine.arena.usedBytes !== usedBytes; turn++) {
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  return server.app.engine.arena.usedBytes
}
