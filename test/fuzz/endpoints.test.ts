/** Every compute endpoint and any body: answered or refused, never a fault of the server's, and nothing is kept of it. */
import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { type FileTensor, float32, writeFile } from '../service/safetensors-file.ts'
import { JSON_TYPE, SAFETENSORS_TYPE, settled, startServer } from '../service/server.ts'
import { edited, edits, repeatsKeys } from './json-text.ts'
import { mutated, mutations } from './mutate.ts'
import { PATHS, type Request, requests } from './requests.ts'
import { LONG, runs } from './runs.ts'
import { type Answered, expectFair } from './verdict.ts'

interface Seed {
  name: string
  path: string
  body?: unknown
  /** the body's text, where it is not what a value is written as */
  text?: string
  status: number
  /** a known fault: the status is wrong, and changes once the issue is done */
  issue?: number
}

const corpus: Seed[] = JSON.parse(readFileSync(new URL('corpus/requests.json', import.meta.url), 'utf8'))
const sound = corpus.filter(({ issue }) => issue === undefined)

const server = await startServer({
  MAX_BODY_BYTES: String(1 << 20),
  MAX_REQUEST_BYTES: String(32 << 20),
  MEMORY_BYTES: String(128 << 20),
  MAX_FLOPS: '1e7',
})
const before = server.app.engine.arena.usedBytes
let most = before

async function send(path: string, body: string | Buffer<ArrayBuffer>, type = JSON_TYPE): Promise<Answered> {
  const response = await fetch(server.url + path, { method: 'POST', headers: { 'content-type': type }, body })
  const text = await response.text()
  // one request at a time: what the one before took may still be on its way back, no more
  most = Math.max(most, server.app.engine.arena.usedBytes)
  return { status: response.status, text }
}

function treeOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const textOf = ({ body, text }: Seed) => text ?? JSON.stringify(body)

/** What a seed says that is JSON. */
const trees = sound
  .map(seed => ({ path: seed.path, body: treeOf(textOf(seed)) }))
  .filter(({ body }) => body !== undefined)

const bodies: fc.Arbitrary<Request> = fc.oneof(
  { weight: 4, arbitrary: requests },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...trees),
  },
)

const statuses = new Map<number, number>()

/** Sends a text and judges the answer. */
async function expectFairAnswer(path: string, text: string, isAmbiguous = false): Promise<void> {
  const answer = await send(path, text)
  statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
  expectFair(path, text, isAmbiguous ? undefined : treeOf(text), answer)
}

describe('any body', () => {
  it.each(corpus.map(seed => [seed.name, seed] as const))('of the corpus: %s', async (_name, seed) => {
    const text = textOf(seed)
    const answer = await send(seed.path, text)
    expect(answer.status, answer.text).toBe(seed.status)
    if (seed.issue === undefined) expectFair(seed.path, text, treeOf(text), answer)
  })

  it('that is right, or whose values are wrong', async () => {
    await fc.assert(
      fc.asyncProperty(bodies, mutations, (request, all) =>
        expectFairAnswer(request.path, JSON.stringify(mutated(request.body, all))),
      ),
      runs(0.8),
    )
    // most are wrong, but far from all: else nothing beyond the schema is tried
    expect(statuses.get(200)).toBeGreaterThan(runs(0.15).numRuns)
  })

  it('whose text is wrong', async () => {
    await fc.assert(
      fc.asyncProperty(bodies, edits, ({ path, body }, all) => {
        const text = edited(JSON.stringify(body), all)
        return expectFairAnswer(path, text, repeatsKeys(text))
      }),
      runs(0.15),
    )
  })

  it('as a file, whole or damaged', async () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 })
    const path = fc.constantFrom(...PATHS)
    const extents = fc.array(fc.nat(3), { minLength: 1, maxLength: 4 })
    const tensors = fc.dictionary(
      fc.constantFrom(
        'q',
        'k',
        'v',
        'x',
        'mask',
        'backward.target',
        'params.w_q',
        'stack.params.a.b',
        'q.x',
        'd',
      ),
      extents,
      { minKeys: 1 },
    )
    const rest = fc.constantFrom(
      '{}',
      '{"causal":true}',
      '{"heads":1,"init":{}}',
      '{"backward":{}}',
      '[]',
      '{',
      '{"q":1}',
    )
    await fc.assert(
      fc.asyncProperty(path, tensors, rest, damage, async (path, tensors, request, damage) => {
        const entries = Object.entries(tensors).map(([name, shape]): [string, FileTensor] => {
          const count = shape.reduce((product, extent) => product * extent, 1)
          return [name, float32(new Float32Array(count).fill(0.5), shape)]
        })
        const file = writeFile(Object.fromEntries(entries), { request })
        for (const [at, byte] of damage) file[at % file.length] = byte
        const answer = await send(path, file, SAFETENSORS_TYPE)
        // the tree of a file is the header and the request, one in the other: whether a place stands there is for JSON
        expectFair(path, file.toString('latin1'), undefined, answer)
      }),
      runs(0.05),
    )
  })
})

describe('after all of it', () => {
  afterAll(() => {
    if (LONG) console.log(Object.fromEntries(statuses))
  })

  it('no memory is kept, and never more was taken than a request may', async () => {
    expect(await settled(server, before)).toBe(before)
    expect(most - before).toBeLessThanOrEqual(2 * (32 << 20))
  })

  it('nothing was logged as a fault', () => {
    const faults = server.log.map(line => JSON.parse(line)).filter(({ level }) => level >= 50)
    const expected = corpus.filter(({ issue }) => issue !== undefined).length
    expect(faults.length, JSON.stringify(faults.slice(0, 3))).toBeLessThanOrEqual(expected)
  })
})
