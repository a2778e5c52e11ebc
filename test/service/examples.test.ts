import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it, onTestFinished } from 'vitest'
import { HealthAnswer, PlanAnswer, ProblemAnswer } from '../../src/endpoints/answers.ts'
import { SERVED } from '../../src/endpoints/served.ts'
import { EXAMPLES } from '../../src/http/docs/examples.ts'
import { startLeavingServer } from '../support/leaving-server.ts'
import { post, settled, startServer } from './server.ts'

const server = await startServer()
const run = promisify(execFile)
const file = (name: string) => new URL(`../../examples/${name}`, import.meta.url).pathname

/** Numbers agree to float32 accuracy: the last digit depends on the machine's kernels. Base64 is compared as floats. */
function expectClose(actual: unknown, expected: unknown): void {
  if (typeof expected === 'number') {
    expect(Math.abs((actual as number) - expected)).toBeLessThanOrEqual(
      2e-6 * Math.max(1, Math.abs(expected)),
    )
  } else if (Array.isArray(expected)) {
    expect((actual as unknown[]).length).toBe(expected.length)
    for (const [index, item] of expected.entries()) expectClose((actual as unknown[])[index], item)
  } else if (typeof expected === 'object' && expected !== null) {
    for (const [key, member] of Object.entries(expected)) {
      const value = (actual as Record<string, unknown>)[key]
      const floats = (text: unknown) =>
        Array.from(new Float32Array(Uint8Array.from(Buffer.from(String(text), 'base64')).buffer))
      if (key === 'base64') expectClose(floats(value), floats(member))
      else expectClose(value, member)
    }
  } else {
    expect(actual).toBe(expected)
  }
}

describe('the examples of the OpenAPI document', () => {
  it.each(EXAMPLES)('$path $name', async ({ path, request, response }) => {
    const { status, body } = await post(server, path, request)
    expect(status).toBe(200)
    const answer = SERVED.find(endpoint => endpoint.path === path)?.answer ?? PlanAnswer
    expect(answer.safeParse(body).error).toBeUndefined()
    if (path !== '/v1/plan') expect(Object.keys(body)).toEqual(Object.keys(response as object))
    expectClose(body, response)
  })

  it('stand in the served document, some for every endpoint', async () => {
    const document = JSON.stringify(await (await fetch(`${server.url}/openapi.json`)).json())
    const { paths } = JSON.parse(document)
    for (const { path } of SERVED) {
      const { examples } = paths[path].post.requestBody.content['application/json']
      const expected = EXAMPLES.filter(example => example.path === path).length
      expect(expected).toBeGreaterThan(0)
      expect(Object.keys(examples).length).toBe(expected)
    }
  })
})

it('health and problems answer as documented', async () => {
  for (const path of ['/health/live', '/health/ready']) {
    const body = await (await fetch(server.url + path)).json()
    expect(HealthAnswer.safeParse(body).error).toBeUndefined()
  }
  const { body } = await post(server, '/v1/attention', {})
  expect(ProblemAnswer.safeParse(body).error).toBeUndefined()
})

describe('the examples in other languages', () => {
  it('curl', async () => {
    const { stdout } = await run(file('attention.sh'), [server.url])
    expect(JSON.parse(stdout).loss).toBeCloseTo(1.352045, 5)
  })

  it('Python', async () => {
    const { stdout } = await run('python3', [file('attention.py'), server.url])
    expect(stdout).toContain('loss 1.352045')
    expect(stdout).toContain('0.451863  0.274069  0.274069')
    expect(stdout).toMatch(/safetensors\n +-0\.203646 +0\.101823 +0\.101823/)
  })

  it('training by the service alone: a causal stack learns to copy, and its map shows how', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'copy-'))
    const picture = join(folder, 'maps.svg')
    const { stdout } = await run('python3', [file('train_copy.py'), server.url, '--svg', picture])
    const svg = await readFile(picture, 'utf8')
    await rm(folder, { recursive: true })
    const [, loss, copied] = stdout.match(/^loss (\S+); layer \d, head \d copies: (\S+) of/m) ?? []
    expect(Number(loss)).toBeLessThan(0.02)
    expect(Number(copied)).toBeGreaterThan(0.5)

    const rows = stdout.trimEnd().split('\n').slice(-17)
    const weights = rows.map(row => [...row.slice(4).padEnd(34)].filter((_, at) => at % 2 === 0))
    const darkness = (mark: string) => ' .:-=+*#%@'.indexOf(mark)
    for (let position = 8; position < 16; position++) {
      const darkest = Math.max(...weights[position].map(darkness))
      expect(darkness(weights[position][position - 8]), `row ${position}`).toBe(darkest)
    }
    expect(svg.match(/<rect x=/g)?.length).toBe(2 * 2 * 17 * 17)
    expect(svg.trimEnd().endsWith('</svg>')).toBe(true)
  }, 60_000)

  it('a stream in Python: the maps of every layer, and a whole one', async () => {
    const before = server.app.engine.arena.usedBytes
    const { stdout } = await run('python3', [file('stream.py'), server.url])
    const layers = stdout.split(/^layer \d, .* ms$/m).slice(1)
    expect(layers).toHaveLength(4)
    for (const text of layers) {
      const rows = text.split('\n').filter(line => line.includes(' | '))
      expect(rows).toHaveLength(12)
      // causal: nothing above the diagonal, something on it
      for (const [row, line] of rows.entries()) {
        for (const map of line.split(' | ')) {
          expect(map).toHaveLength(24)
          expect(map.slice(2 * (row + 1)).trim()).toBe('')
          expect(map.slice(0, 2 * (row + 1)).trim()).not.toBe('')
        }
      }
    }
    expect(stdout).toMatch(/layer 3, head 0: the last of 60 tokens attends most to \d+ .*; sum 1\.0000/)
    expect(await settled(server, before)).toBe(before)
  })

  it('a stream in TypeScript: both passes, layer by layer', async () => {
    const { stdout } = await run(process.execPath, [file('stream.ts'), server.url])
    const lines = stdout.trimEnd().split('\n')
    expect(lines.map(line => line.match(/^(forward|backward) +layer \d/)?.[0].replace(/ +/g, ' '))).toEqual([
      undefined,
      ...[0, 1, 2, 3, 4, 5].map(index => `forward layer ${index}`),
      ...[5, 4, 3, 2, 1, 0].map(index => `backward layer ${index}`),
      undefined,
    ])
    expect(lines[1]).toMatch(/attends to [▁-█]{8} (\d+ ){8}tokens/)
    expect(lines[7]).toMatch(/∂L\/∂output \d\.\d\de-\d {2}∂L\/∂weights [▁-█]{8}$/)
    expect(lines.at(-1)).toMatch(/^loss \d+\.\d{4} after \d+ ms$/)
  })

  it.each([
    ['Python', 'python3', 'stream.py'],
    ['TypeScript', process.execPath, 'stream.ts'],
  ])('a stream in %s goes on on another server where one shuts down', async (_, command, name) => {
    const leaving = await startLeavingServer(server.url)
    onTestFinished(() => leaving.close())
    const linesOf = async (url: string) => {
      const { stdout } = await run(command, [file(name), url])
      const lines = stdout.replaceAll(/ *[\d.]+ ms/g, '').split('\n')
      return lines.filter(line => !line.includes('GFLOP'))
    }
    expect(await linesOf(leaving.url)).toEqual(await linesOf(server.url))
    expect(leaving.starts.map(text => JSON.parse(text).resume?.from_layer)).toEqual([undefined, 1])
  })

  it('TypeScript', async () => {
    const { stdout } = await run(process.execPath, [file('typescript/attention.ts'), server.url])
    expect(stdout).toContain('loss 1.3520')
    expect(stdout).toMatch(/1×8×4096×64 would take 17.2 GFLOP/)
  })
})

describe('the interactive page', () => {
  it('is served with everything it needs', async () => {
    const page = await fetch(`${server.url}/docs/`)
    expect(page.status).toBe(200)
    const html = await page.text()
    const assets = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(
      ([, link]) => new URL(link, `${server.url}/docs/`),
    )
    expect(assets.length).toBeGreaterThan(2)
    for (const asset of assets) {
      expect(asset.origin).toBe(server.url)
      const response = await fetch(asset)
      expect(response.status).toBe(200)
      expect((await response.arrayBuffer()).byteLength).toBeGreaterThan(0)
    }
  })
})
