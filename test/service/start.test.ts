/** What a start loads, and what it does not: libraries of what is not asked for cost time and memory. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const APP = new URL('../../src/', import.meta.url).href

/** Starts and ends the service in a process of its own; prints the packages that it has loaded, and what Node has loaded of its own. */
const SCRIPT = `
import module from 'node:module'
const packages = new Set()
module.registerHooks({
  load(url, context, next) {
    const [, name] = /.*node_modules.((?:@[^/]+.)?[^/]+)/.exec(url) ?? []
    if (name !== undefined) packages.add(name)
    return next(url, context)
  },
})
const { default: pino } = await import('${APP}../node_modules/pino/pino.js')
const { buildApp } = await import('${APP}app.ts')
const { readConfig } = await import('${APP}config.ts')
const config = readConfig({ PORT: '0', THREADS: '1', KERNELS: 'wide', MEMORY_BYTES: String(64 << 20) })
const app = await buildApp(config, pino({ level: 'silent' }))
await app.close()
console.log(JSON.stringify({ packages: [...packages], builtins: process.moduleLoadList }))
`

it('loads no queue, store, tracing, validator or client that nobody asked for', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', SCRIPT], {
    maxBuffer: 1 << 20,
  })
  const { packages, builtins } = JSON.parse(stdout) as { packages: string[]; builtins: string[] }
  // the threads have started, though with `--input-type` they could load no file; both lists are seen
  expect(packages).toEqual(expect.arrayContaining(['fastify', 'zod', 'piscina']))
  expect(builtins).toContain('NativeModule http')
  const unwanted = /^(bullmq|ioredis|ajv|jose|@aws-sdk.*|@opentelemetry\/(?!api$).*)$/
  expect(packages.filter(name => unwanted.test(name))).toEqual([])
  // Node's fetch and WebSocket
  expect(builtins.filter(name => name.includes('undici'))).toEqual([])
})

it.each([
  ['REDIS_URL', 'redis://127.0.0.1:1', /^STORE_URL is not set: expected a folder or bucket .*\n$/],
  ['MAX_FLOPS', '-1', /^MAX_FLOPS=-1: .*\n$/],
  ['HOST', '0.0.0.0', /^HOST=0\.0\.0\.0 .*AUTH.*\n$/],
])('tells a wrong setting in one line, and ends with 1: %s=%s', async (name, value, line) => {
  const main = fileURLToPath(new URL('main.ts', APP))
  const failed = await promisify(execFile)(process.execPath, [main], { env: { [name]: value } }).catch(
    error => error,
  )
  expect(failed).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(line) })
})
