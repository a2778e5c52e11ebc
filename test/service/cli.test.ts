/** The commands over a request in a file, as a shell sees them: exit code, stdout, stderr. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
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

describe('verify', () => {
  const forward = { q: [[1, 0.5]], k: body.k, v: body.v }
  const comparison = (value: number) => ({
    endpoint: '/v1/attention',
    body: forward,
    candidate: { output: [[value]] },
  })
  /** e^a + 2·e^b over e^a + e^b, a = 1/√2, b = a/2 */
  const [a, b] = [Math.exp(Math.SQRT1_2), Math.exp(Math.SQRT1_2 / 2)]
  const truth = (a + 2 * b) / (a + b)

  it('exits with 0 where it passes, in process, and prints the table', async () => {
    const { code, stdout, stderr } = await run('verify', await file('right.json', comparison(truth)))
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^PASS/)
    expect(stdout).toMatch(/^output +PASS/m)
  })

  it('exits with 1 where it fails, by a server too, with the page and the answer as JSON', async () => {
    const page = join(folder, 'report.html')
    const wrong = await file('wrong.json', comparison(2))
    const { code, stdout } = await run('verify', wrong, '--url', server.url, '--html', page, '--json')
    expect([code, JSON.parse(stdout).verdict]).toEqual([1, 'fail'])
    const html = await readFile(page, 'utf8')
    expect(html).toMatch(/^<!doctype html>/i)
    expect(html).not.toMatch(/(src|href)="http/)
    expect(html).toContain('<svg')
  })

  it('reads safetensors, whatever the file is called', async () => {
    const numbers = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer)
    const tensors: [string, number[], Uint8Array][] = [
      ['body.q', [1, 2], numbers(1, 0.5)],
      ['body.k', [2, 2], numbers(1, 0, 0, 1)],
      ['body.v', [2, 1], numbers(1, 2)],
      ['candidate.output', [1, 1], numbers(truth)],
    ]
    let at = 0
    const header: Record<string, unknown> = {
      __metadata__: { request: JSON.stringify({ endpoint: '/v1/attention' }) },
    }
    for (const [name, shape, bytes] of tensors) {
      header[name] = { dtype: 'F32', shape, data_offsets: [at, at + bytes.length] }
      at += bytes.length
    }
    const text = Buffer.from(JSON.stringify(header))
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(text.length))
    const path = join(folder, 'kernel.bin')
    await writeFile(path, Buffer.concat([length, text, ...tensors.map(([, , bytes]) => bytes)]))
    const { code, stdout, stderr } = await run('verify', path, '--url', server.url)
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^PASS/)
  })

  it.each([
    ['what is no request', '{"endpoint":', '400 INVALID_JSON'],
    [
      'what cannot be compared',
      JSON.stringify({ endpoint: '/v1/attention', body: forward, candidate: {} }),
      '/candidate',
    ],
  ])('exits with 2 on %s', async (_, text, expected) => {
    const { code, stdout, stderr } = await run('verify', await file('odd.json', text), '--url', server.url)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain(expected)
  })

  it('exits with 2 where there is no file, or no server', async () => {
    const there = await file('right.json', comparison(truth))
    const [missing, away] = await Promise.all([
      run('verify', join(folder, 'none.json')),
      run('verify', there, '--url', 'http://127.0.0.1:1'),
    ])
    expect([missing.code, away.code]).toEqual([2, 2])
  })
})

it('explain-mask prints what the mask lets through', async () => {
  const tensor = { shape: [1, 1, 3, 2] }
  const asked = await file('mask.json', { body: { q: tensor, k: tensor, v: tensor, causal: true } })
  const { code, stdout, stderr } = await run('explain-mask', asked, '--url', server.url)
  expect([code, stderr]).toEqual([0, ''])
  expect(JSON.parse(stdout)).toMatchObject({ pairs: 6, rules: { causal: { forbids: 3 } } })
})

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
