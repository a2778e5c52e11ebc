/** `attention-server models`: adds from a hub of the same API as Hugging Face's, and from folders; lists; removes. */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { MODELS } from './fixture.ts'

const MAIN = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'models-cli-'))
const seen: string[] = []

/** Lists a repository's files, and gives them, to who has the token. */
const hub = createServer((request, response) => {
  const { pathname } = new URL(request.url as string, 'http://hub')
  seen.push(`${request.headers.authorization ?? 'nobody'} ${request.method} ${pathname}`)
  const [, name] = /^\/(?:api\/models\/)?tiny\/([\w-]+)\//.exec(pathname) ?? []
  const path = name && join(MODELS, name)
  if (!path || !existsSync(path)) return response.writeHead(404).end()
  if (pathname.startsWith('/api/')) {
    const files = readdirSync(path).map(file => ({
      type: 'file',
      oid: '0',
      size: statSync(join(path, file)).size,
      path: file,
    }))
    response.setHeader('content-type', 'application/json')
    return response.end(JSON.stringify(files))
  }
  const file = join(path, pathname.split('/').at(-1) as string)
  if (!existsSync(file)) return response.writeHead(404).end()
  const bytes = readFileSync(file)
  const [, from, to] = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '') ?? []
  const part = from === undefined ? bytes : bytes.subarray(Number(from), to ? Number(to) + 1 : undefined)
  response.writeHead(from === undefined ? 200 : 206, {
    etag: '"0"',
    'content-length': part.length,
    'content-range': `bytes ${from ?? 0}-${(from === undefined ? 0 : Number(from)) + part.length - 1}/${bytes.length}`,
  })
  return response.end(request.method === 'HEAD' ? undefined : part)
})

beforeAll(() => new Promise<void>(resolve => hub.listen(0, '127.0.0.1', resolve)))
afterAll(() => {
  hub.close()
  rmSync(folder, { recursive: true, force: true })
})

async function run(...args: string[]) {
  const env = {
    ...process.env,
    MODELS_DIR: folder,
    HF_ENDPOINT: `http://127.0.0.1:${(hub.address() as AddressInfo).port}`,
    HF_TOKEN: 'hf_secret',
  }
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [MAIN, 'models', ...args], { env })
    return { code: 0, stdout, stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, stdout, stderr }
  }
}

it('fetches a model with the token, and leaves nothing of one that it cannot', async () => {
  const added = await run('add', 'tiny/bert')
  expect(added.stderr + added.stdout).toContain('bert: bert, fetched from tiny/bert')
  expect(added.code).toBe(0)
  const files = readdirSync(join(folder, 'bert')).sort()
  expect(files).toEqual(
    readdirSync(join(MODELS, 'bert'))
      .filter(name => name !== 'expected.safetensors')
      .sort(),
  )
  for (const file of files)
    expect(readFileSync(join(folder, 'bert', file))).toEqual(readFileSync(join(MODELS, 'bert', file)))
  expect(seen.every(line => line.startsWith('Bearer hf_secret'))).toBe(true)
  expect((await run('add', 'tiny/nothing')).code).toBe(2)
  expect((await run('add', 'tiny/bert')).stderr).toContain('already')
  expect(readdirSync(folder)).toEqual(['bert'])
})

it('links a folder, lists what is there, and removes the link alone', async () => {
  expect((await run('add', join(MODELS, 'gpt2'), 'linked')).code).toBe(0)
  mkdirSync(join(folder, 'broken'))
  const listed = await run('list')
  expect(listed.code).toBe(1)
  expect(listed.stdout).toMatch(/linked +gpt2 +\d+/)
  expect(listed.stdout).toMatch(/broken +expected config.json/)
  expect((await run('remove', 'linked')).code).toBe(0)
  expect((await run('remove', 'broken')).code).toBe(0)
  expect(existsSync(join(MODELS, 'gpt2', 'config.json'))).toBe(true)
  expect((await run('list')).code).toBe(0)
  expect((await run('remove', '../gpt2')).code).toBe(2)
  expect((await run('add', join(MODELS, 'gpt2'), '../out')).code).toBe(2)
})
