/** The commands over a request in a file, as a shell sees them: exit code, stdout, stderr. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { startServer } from './server.ts'

const server = await startServer()
const folder = await mkdtemp(join(tmpdir(), 'cli-'))
afterAll(() => rm(folder, { recursive: true }))

const MAIN = new URL('../../src/cli/main.ts', import.meta.url).pathname

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number; stdout: string; stderr: string }>()
  execFile(process.execPath, [MAIN, ...args], (error, stdout, stderr) => {
    resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
  })
  return promise
}

async function file(name: string, value: unknown): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, typeof value === 'string' ? value : JSON.stringify(value))
  return path
}

const body = {
  q: [[1, 0.5]],
  k: [
    [1, 0],
    [0, 1],
  ],
  v: [[1], [2]],
  backward: { grad_output: [[1]] },
}
const gradients = await file('gradients.json', { endpoint: '/v1/attention', body })

describe('gradient-check', () => {
  it('passes, in process and by a server, with the same answer', async () => {
    const [here, there] = await Promise.all([
      run('gradient-check', gradients),
      run('gradient-check', gradients, '--url', server.url, '--json'),
    ])
    expect(here).toMatchObject({ code: 0, stderr: '' })
    expect(here.stdout).toMatch(/^PASS\n\ninput {2}verdict .*\nq {6}PASS .*\nk {6}PASS .*\nv {6}PASS .*\n$/)
    expect(there.code).toBe(0)
    expect(Object.keys(JSON.parse(there.stdout).inputs)).toEqual(['q', 'k', 'v'])
  })

  it.each([
    ['no file', [], /expected one file, got 0\nusage: attention-server gradient-check FILE/],
    ['a file that is not there', ['nowhere.json'], /nowhere.json cannot be read: there is no such file/],
    ['an option that it has not', [gradients, '--html', 'x'], /Unknown option '--html'.*\nusage/],
    [
      'a URL where nothing listens',
      [gradients, '--url', 'http://127.0.0.1:1'],
      /cannot be reached: nothing listens/,
    ],
    ['what is no URL', [gradients, '--url', 'nowhere'], /expected an http or https URL, got nowhere/],
  ])('exits with 2 on %s', async (_, args, text) => {
    const { code, stdout, stderr } = await run('gradient-check', ...args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(text)
  })

  it('exits with 2 where the request is wrong, and says where', async () => {
    const { backward: _, ...forward } = body
    const wrong = await file('wrong', { endpoint: '/v1/attention', body: forward })
    const { code, stderr } = await run('gradient-check', wrong, '--url', `${server.url}/`)
    expect(code).toBe(2)
    expect(stderr).toContain('400 INVALID_REQUEST: /body/backward')
  })
})
