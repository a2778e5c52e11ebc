/** Rotations by scaled frequencies, a factor and positions: gradients by differences, and float32 beside float64. */
import { expect, it } from 'vitest'
import { drawer, expectGradients } from '../../../test/support/layer-cases.ts'
import { runProgram } from '../../../test/support/run-program.ts'

const draw = drawer(5)
const [N, M] = [4, 5]
const positions = {
  q_positions: [
    [3, 900, -2, 7],
    [0, 1, 2, 3],
  ],
  k_positions: [
    [1, 0, 40, 2, 2],
    [5, 6, 7, 8, 9],
  ],
}
const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 64 }
const longrope = {
  rope_type: 'longrope',
  factor: 4,
  original_max_position_embeddings: 64,
  short_factor: [1, 1.5],
  long_factor: [2, 5],
}

const ROPES: [string, object][] = [
  ['yarn, interleaved, by positions', { scaling: yarn, interleaved: true, ...positions }],
  ['longrope of some dims, by positions', { scaling: longrope, dims: 4, ...positions }],
  [
    'dynamic behind offsets',
    { scaling: { rope_type: 'dynamic', factor: 2, max_position_embeddings: 4 }, q_offset: 9 },
  ],
  [
    'frequencies and a negative factor',
    { frequencies: { shape: [2], data: [0.7, 0] }, factor: -1.7, ...positions },
  ],
]

const multiHead = (rope: object) => ({
  x: draw(2, N, 6),
  context: draw(2, M, 3),
  heads: 4,
  kv_heads: 2,
  params: { w_q: draw(6, 24), w_k: draw(3, 12), w_v: draw(3, 4), w_o: draw(8, 5) },
  rope,
  backward: { grad_output: draw(2, N, 5), entropy_weight: 0.3 },
})

it.each(ROPES)('%s: every gradient of a layer is that of differences', async (_name, rope) => {
  const body = { ...multiHead(rope), precision: 'float64' }
  const names = await expectGradients('/v1/multi-head-attention', body, [0, 5, 17, 101])
  expect(names).toEqual(expect.arrayContaining(['x', 'context', 'params.w_q', 'params.w_k']))
})

it.each(ROPES)('%s: float32 is near float64, and the same a unit at a time', async (_name, rope) => {
  const body = multiHead(rope)
  const single = await runProgram('/v1/multi-head-attention', body)
  const cut = await runProgram('/v1/multi-head-attention', body, 1)
  const double = await runProgram('/v1/multi-head-attention', { ...body, precision: 'float64' })
  for (const [name, { data }] of Object.entries(double.tensors)) {
    expect(cut.tensors[name].data, name).toEqual(single.tensors[name].data)
    const largest = Math.max(...data.map(Math.abs))
    const error = Math.max(...data.map((value, i) => Math.abs(value - single.tensors[name].data[i])))
    expect(error / largest, name).toBeLessThan(1e-5)
  }
})

it('the gradient of a rotation is the opposite rotation times the factor', async () => {
  const rotate = (x: object, more: object) =>
    runProgram('/v1/positional-encoding', { kind: 'rope', precision: 'float64', scaling: yarn, x, ...more })
  const [x, grad] = [draw(2, 3, N, 8), draw(2, 3, N, 8)]
  const places = [
    [3, 900, -2, 7],
    [0, 1, 2, 3],
  ]
  const { tensors } = await rotate(x, { positions: places, factor: 3, backward: { grad_output: grad } })
  const back = places.map(row => row.map(place => -place))
  const turned = await rotate(grad, { positions: back, factor: 3 })
  for (const [i, value] of turned.tensors.output.data.entries()) {
    expect(tensors['grads.x'].data[i]).toBeCloseTo(value, 12)
  }
})

it.each([0, 1])('batches and rows of extent 0: batch %i', async batch => {
  const empty = (rows: number) => ({ shape: [batch, 2, rows, 4], data: Array(batch * 2 * rows * 4).fill(1) })
  const rope = {
    scaling: longrope,
    q_positions: { shape: [batch, 0], data: [] },
    k_positions: { shape: [batch, 3], data: Array(3 * batch).fill(2) },
  }
  const body = { q: empty(0), k: empty(3), v: empty(3), rope, backward: { grad_output: empty(0) } }
  const { tensors } = await runProgram('/v1/attention', body)
  expect(tensors['grads.k'].data.map(Math.abs)).toEqual(Array(batch * 24).fill(0))
})
