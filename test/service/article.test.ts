/**
 * The introduction to attention that this service accompanies: its worked example through the layers, and the places where
 * its numbers are wrong, with the right ones. (The example over q, k and v: attention.test.ts.)
 */
import { describe, expect, it } from 'vitest'
import { drawer, type Flat } from '../support/layer-cases.ts'
import { attention, post, startServer } from './server.ts'

const server = await startServer()

const rows = (n: number) =>
  Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => +(i === j)))
const I = rows(4)
/** "cat", "sat", "mat" */
const X = I.slice(0, 3)

function expectClose(actual: number[] | number[][] | number[][][], expected: unknown[]): void {
  const numbers = (actual as number[]).flat(2) as number[]
  const right = expected.flat(2) as number[]
  expect(numbers.length).toBe(right.length)
  for (const [at, value] of right.entries()) expect(numbers[at], `element ${at}`).toBeCloseTo(value, 6)
}

async function answerOf(path: string, body: object) {
  const answer = await post(server, path, body)
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  return answer.body
}

describe.each(['float32', 'float64'])('the worked example in %s', precision => {
  it('as self-attention of X: ∂X is the sum of what reaches queries, keys and values', async () => {
    const answer = await answerOf('/v1/self-attention', {
      precision,
      x: X,
      params: { w_q: I, w_k: I, w_v: I },
      return: ['output', 'weights', 'scores', 'entropy'],
      backward: { target: X },
    })
    const map = (on: number, off: number) => [0, 1, 2].map(i => [0, 1, 2].map(j => (i === j ? on : off)))
    expectClose(answer.scores, map(0.5, 0))
    expectClose(answer.weights, map(0.451863, 0.274069))
    expectClose(
      answer.output,
      map(0.451863, 0.274069).map(row => [...row, 0]),
    )
    expectClose(answer.entropy, [1.068445, 1.068445, 1.068445])
    expect(answer.loss).toBeCloseTo(1.352045, 5)
    expectClose(
      answer.grads.x,
      map(-0.602204, 0.301102).map(row => [...row, 0]),
    )
    // ∂W_Q = Xᵀ·∂Q and so on; X is the identity without its last row
    const padded = (on: number, off: number) => [...map(on, off).map(row => [...row, 0]), [0, 0, 0, 0]]
    expectClose(answer.grads.params.w_q, padded(-0.203646, 0.101823))
    expectClose(answer.grads.params.w_k, padded(-0.203646, 0.101823))
    expectClose(answer.grads.params.w_v, padded(-0.194911, 0.097456))
  })

  it('with two heads of d_k = 2', async () => {
    const answer = await answerOf('/v1/multi-head-attention', {
      precision,
      x: X,
      heads: 2,
      params: { w_q: I, w_k: I, w_v: I, w_o: I },
      return: ['output', 'weights'],
    })
    const third = 1 / 3
    const [high, low] = [0.50349, 0.248255]
    expectClose(answer.weights, [
      [
        [high, low, low],
        [low, high, low],
        [third, third, third],
      ],
      [
        [third, third, third],
        [third, third, third],
        [low, low, high],
      ],
    ])
    expectClose(answer.output, [
      [high, low, third, 0],
      [low, high, third, 0],
      [third, third, high, 0],
    ])
  })
})

describe('where the article is wrong', () => {
  it('§2.1: [0.73, 0.27] is the softmax of the unscaled scores; the scaled ones give [0.62, 0.38]', async () => {
    const body = { q: [I[0]], k: I.slice(0, 2), v: I.slice(0, 2), return: ['scores', 'weights'] }
    const { body: scaled } = await attention(server, body)
    expectClose(scaled.scores, [[0.5, 0]])
    expectClose(scaled.weights, [[0.622459, 0.377541]])
    const { body: raw } = await attention(server, { ...body, scale: 1 })
    expectClose(raw.weights, [[0.731059, 0.268941]])
  })

  it('§5.1: the softmax of [0.5, 0, 0] is [0.4519, 0.2741, 0.2741]', async () => {
    const { body } = await attention(server, { q: [I[0]], k: X, v: X, return: ['scores', 'weights'] })
    expectClose(body.scores, [[0.5, 0, 0]])
    expectClose(body.weights, [[0.451863, 0.274069, 0.274069]])
  })

  it('§7.1: a fully masked row stays empty; a mask of −1e9 makes it uniform', async () => {
    const q = drawer(1)(3, 4)
    const common = { q, k: drawer(2)(3, 4), v: drawer(3)(3, 4), return: ['output', 'weights', 'logsumexp'] }
    const allowed = [
      [true, false, false],
      [false, false, false],
      [true, true, true],
    ]
    const { body: right } = await attention(server, { ...common, mask: allowed })
    expect(right.weights[1]).toEqual([0, 0, 0])
    expect(right.output[1]).toEqual([0, 0, 0, 0])
    expect(right.logsumexp[1]).toBe('-Infinity')
    const added = allowed.map(row => row.map(allow => (allow ? 0 : -1e9)))
    const { body: wrong } = await attention(server, { ...common, mask: added })
    // in float32 the scores vanish beside 1e9
    expectClose(wrong.weights[1], [1 / 3, 1 / 3, 1 / 3])
    expectClose(wrong.weights[2], right.weights[2])
  })

  it('§5.3: heads have the whole of X and weights of their own; splitting X is the case of block-diagonal ones', async () => {
    const draw = drawer(4)
    const [x, w_q, w_k, w_v] = [draw(5, 4), draw(4, 4), draw(4, 4), draw(4, 4)]
    const exact = { precision: 'float64', encoding: 'flat' }
    const both = await answerOf('/v1/multi-head-attention', {
      ...exact,
      x,
      heads: 2,
      params: { w_q, w_k, w_v, w_o: I },
    })
    const columns = ({ data }: Flat, head: number) => ({
      shape: [4, 2],
      data: data.filter((_, at) => Math.floor((at % 4) / 2) === head),
    })
    const heads = await Promise.all(
      [0, 1].map(head =>
        answerOf('/v1/self-attention', {
          ...exact,
          x,
          params: { w_q: columns(w_q, head), w_k: columns(w_k, head), w_v: columns(w_v, head) },
        }),
      ),
    )
    for (const [at, value] of (both.output.data as number[]).entries()) {
      const [row, column] = [Math.floor(at / 4), at % 4]
      const { data } = heads[Math.floor(column / 2)].output
      expect(value).toBeCloseTo(data[row * 2 + (column % 2)], 14)
    }

    const diagonal = (w: Flat) => ({
      ...w,
      data: w.data.map((value, at) => (Math.floor(at / 8) === Math.floor((at % 4) / 2) ? value : 0)),
    })
    const half = (w: Flat, head: number) => {
      const data = w.data.filter((_, at) => Math.floor(at / 8) === head && Math.floor((at % 4) / 2) === head)
      return { shape: [2, 2], data }
    }
    const split = await answerOf('/v1/multi-head-attention', {
      ...{
        ...exact,
        x,
        heads: 2,
        params: { w_q: diagonal(w_q), w_k: diagonal(w_k), w_v: diagonal(w_v), w_o: I },
      },
    })
    const second = await answerOf('/v1/self-attention', {
      ...exact,
      x: { shape: [5, 2], data: x.data.filter((_, at) => at % 4 >= 2) },
      params: { w_q: half(w_q, 1), w_k: half(w_k, 1), w_v: half(w_v, 1) },
    })
    for (const [at, value] of (second.output.data as number[]).entries()) {
      expect(split.output.data[Math.floor(at / 2) * 4 + 2 + (at % 2)]).toBeCloseTo(value, 14)
    }
    expect(split.output.data[0]).not.toBeCloseTo(both.output.data[0], 3)
  })

  it('appendix: what it calls ∂O/∂S is ∂L/∂S = P ⊙ (∂P − rowsum(P ⊙ ∂P)), the gradient of an added mask', async () => {
    const draw = drawer(5)
    const [q, k, v, grad] = [draw(3, 4), draw(5, 4), draw(5, 2), draw(3, 2)]
    const answer = await answerOf('/v1/attention', {
      ...{
        q,
        k,
        v,
        mask: { shape: [3, 5], data: Array(15).fill(0) },
        precision: 'float64',
        encoding: 'flat',
      },
      return: ['weights'],
      backward: { grad_output: grad, wrt: ['mask'] },
    })
    const P = answer.weights.data as number[]
    for (let i = 0; i < 3; i++) {
      const gradP = [0, 1, 2, 3, 4].map(j =>
        [0, 1].reduce((sum, c) => sum + grad.data[i * 2 + c] * v.data[j * 2 + c], 0),
      )
      const rowSum = gradP.reduce((sum, g, j) => sum + P[i * 5 + j] * g, 0)
      for (const [j, g] of gradP.entries()) {
        expect(answer.grads.mask.data[i * 5 + j]).toBeCloseTo(P[i * 5 + j] * (g - rowSum), 14)
      }
    }
  })
})
