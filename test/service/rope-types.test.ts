/**
 * Every rope type beside Hugging Face's transformers, made to compute in float64 (test/fixtures/make-rope-fixtures.py): the
 * frequencies to 1e-12, what is rotated by them, and its gradient, to 1e-9.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { post, startServer } from './server.ts'

type Nested = number | Nested[]

interface Case {
  name: string
  head_dim: number
  scaling: Record<string, unknown>
  positions: number[]
  frequencies: number[]
  attention_factor: number
  /** of heads that are not too large to be written down: [heads, positions, head_dim] */
  q?: Nested
  k?: Nested
  grad_q?: Nested
}

const { cases, inputs }: { cases: Case[]; inputs: Record<string, { q: Nested; k: Nested; grad: Nested }> } =
  JSON.parse(readFileSync(new URL('../fixtures/rope.json', import.meta.url), 'utf8'))

const server = await startServer()
const POSITIONS = '/v1/positional-encoding'

async function answerOf(path: string, body: object) {
  const { status, body: answer } = await post(server, path, { precision: 'float64', ...body })
  expect(status, JSON.stringify(answer)).toBe(200)
  return answer
}

const flat = (nested: Nested): number[] => (typeof nested === 'number' ? [nested] : nested.flatMap(flat))

/** All within `tolerance` of the largest. */
function near(got: Nested, right: Nested, tolerance: number): void {
  const [found, expected] = [flat(got), flat(right)]
  expect(found.length).toBe(expected.length)
  const largest = Math.max(...expected.map(Math.abs))
  const worst = Math.max(...found.map((value, i) => Math.abs(value - expected[i])))
  expect(worst / largest).toBeLessThan(tolerance)
}

it.each(cases)('$name: the frequencies, and the factor of cos and sin', async fixture => {
  const { head_dim: d_model, scaling, positions, frequencies, attention_factor } = fixture
  // the angle at position 1 is the frequency; the highest position is the length that some types look at
  const places = [1, Math.max(...positions)]
  const { cos, sin } = await answerOf(POSITIONS, { kind: 'rope', d_model, scaling, positions: places })
  expect(cos[0].length).toBe(frequencies.length)
  for (const [j, frequency] of frequencies.entries()) {
    expect(Math.abs(Math.hypot(cos[0][j], sin[0][j]) / attention_factor - 1)).toBeLessThan(1e-12)
    const error = Math.abs(Math.atan2(sin[0][j], cos[0][j]) - frequency)
    expect(error, `of frequency ${j}`).toBeLessThanOrEqual(1e-12 * frequency)
  }
})

describe.each(cases.filter(({ q }) => q !== undefined))('$name', fixture => {
  const { head_dim, scaling, positions, frequencies, attention_factor: factor } = fixture
  const { q, k, grad } = inputs[head_dim]

  it.each<[string, object]>([
    ['by scaling', { scaling }],
    ['by frequencies and factor', { frequencies, factor }],
  ])('rotates, and differentiates: %s', async (_name, fields) => {
    const request = { kind: 'rope', x: q, positions, ...fields, backward: { grad_output: grad } }
    const { output, grads } = await answerOf(POSITIONS, request)
    near(output, fixture.q as Nested, 1e-9)
    near(grads.x, fixture.grad_q as Nested, 1e-9)
  })

  it('gives attention its scores', async () => {
    const rope = { scaling, q_positions: positions, k_positions: positions }
    const request = { q: [q], k: [k], v: [k], rope, scale: 1, return: ['scores'] }
    const { scores } = await answerOf('/v1/attention', request)
    const [queries, keys] = [fixture.q as number[][][], fixture.k as number[][][]]
    const product = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0)
    near(
      scores,
      queries.map(head => head.map(a => keys[0].map(b => product(a, b)))),
      1e-9,
    )
  })
})
