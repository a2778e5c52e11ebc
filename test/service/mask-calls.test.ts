/**
 * The calls that `POST /v1/explain-mask` gives for each library attend to the same pairs as the request: the libraries have run them
 * (test/fixtures/run-mask-calls.py). `UPDATE_MASK_CALLS=1` writes the calls anew, for that script.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { post, startServer } from './server.ts'

const server = await startServer()

interface Entry {
  body: Record<string, unknown> & { q: number[]; k: number[]; past?: number; dialect?: string }
  equivalents: Record<string, { setup?: string[]; call: string } | { cannot: string }>
  patterns?: Record<string, string>
}

const at = (name: string) => new URL(`../fixtures/${name}`, import.meta.url)
const read = (name: string) => JSON.parse(readFileSync(at(name), 'utf8'))
const update = process.env.UPDATE_MASK_CALLS === '1'
const entries: Entry[] = update
  ? read('mask-bodies.json').map((body: Entry['body']) => ({ body }))
  : read('mask-calls.json')

/** Bodies say their shapes with heads first. */
function bodyOf({ q, k, past, ...rest }: Entry['body']) {
  const positionsFirst = rest.dialect === 'flash-attn' || rest.dialect === 'jax'
  const turned = (shape: number[]) =>
    positionsFirst && shape.length === 4 ? [shape[0], shape[2], shape[1], shape[3]] : shape
  const tensor = (shape: number[]) => ({ shape: turned(shape) })
  const ofPast = past === undefined ? undefined : tensor(k.with(-2, past))
  return { ...rest, q: tensor(q), k: tensor(k), v: tensor(k), past_k: ofPast, past_v: ofPast }
}

it.each(entries.map(entry => [JSON.stringify(entry.body), entry] as const))('%s', async (_, entry) => {
  const { status, body } = await post(server, '/v1/explain-mask', { body: bodyOf(entry.body), map: true })
  expect([status, body]).toEqual([200, expect.anything()])
  if (update) {
    entry.equivalents = body.equivalents
    return
  }
  expect(body.equivalents).toEqual(entry.equivalents)
  const bits: number[] = body.map.flat(4)
  const keys = (entry.body.k.at(-2) as number) + (entry.body.past ?? 0)
  for (const [dialect, pattern] of Object.entries(entry.patterns ?? {})) {
    for (let row = 0; row < bits.length; row += keys) {
      const ours = bits
        .slice(row, row + keys)
        .map(bit => (bit === 0 ? '1' : '0'))
        .join('')
      // each library has its own idea of a row that attends to nothing
      if (ours.includes('1'))
        expect([dialect, row, pattern.slice(row, row + keys)]).toEqual([dialect, row, ours])
    }
  }
})

it('every dialect that can say it was run by its library', () => {
  if (update)
    writeFileSync(at('mask-calls.json'), `[\n${entries.map(entry => JSON.stringify(entry)).join(',\n')}\n]\n`)
  for (const { equivalents, patterns = {} } of update ? [] : entries) {
    const said = Object.entries(equivalents).flatMap(([name, each]) => ('cannot' in each ? [] : name))
    expect(Object.keys(patterns).sort()).toEqual(said.sort())
  }
})
