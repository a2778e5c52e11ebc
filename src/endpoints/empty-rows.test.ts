/** `empty_rows`: what a row is that attends to nothing, forward, backward and in forward mode. */
import { describe, expect, it } from 'vitest'
import { normalNumbers } from '../../test/support/numbers.ts'
import { runProgram } from '../../test/support/run-program.ts'

function draw(seed: number, ...shape: number[]): { shape: number[]; data: number[] } {
  const normal = normalNumbers(seed)
  const count = shape.reduce((product, extent) => product * extent, 1)
  return { shape, data: Array.from({ length: count }, () => Math.fround(normal())) }
}

/** Two batch elements, four query heads over two kv heads; row 1 of all and row 2 of the second element are empty. */
const [B, H, K, N, M, D] = [2, 4, 2, 4, 5, 3]
const mask = Array.from({ length: B }, (_, b) => [
  Array.from({ length: N }, (_, i) =>
    Array.from({ length: M }, (_, j) => !(i === 1 || (b === 1 && i === 2)) && (i + j) % 3 !== 0),
  ),
])
const isEmpty = (b: number, i: number) => i === 1 || (b === 1 && i === 2)
const gradOutput = draw(4, B, H, N, D)
const body = {
  q: draw(1, B, H, N, D),
  k: draw(2, B, K, M, D),
  v: draw(3, B, K, M, D),
  mask,
  return: ['output', 'weights', 'entropy', 'logsumexp', 'masked_scores'],
  backward: { grad_output: gradOutput, wrt: ['q', 'k', 'v'] },
}
const run = (more: object, precision = 'float64') =>
  runProgram('/v1/attention', { ...body, precision, ...more })
const floatMask = mask.map(head =>
  head.map(rows => rows.map(row => row.map(open => (open ? 0.1 : '-Infinity')))),
)

/** Rows of [B, H, N, width], with whether they are empty. */
function rowsOf({ data }: { data: number[] }, width: number) {
  return Array.from({ length: B * H * N }, (_, row) => {
    const [b, h, i] = [Math.floor(row / (H * N)), Math.floor(row / N) % H, row % N]
    return { b, h, i, empty: isEmpty(b, i), row: data.slice(row * width, (row + 1) * width) }
  })
}

const valuesOf = (b: number, h: number) => {
  const first = (b * K + Math.floor((h * K) / H)) * M * D
  return Array.from({ length: M }, (_, j) => body.v.data.slice(first + j * D, first + (j + 1) * D))
}

describe.each(['float32', 'float64'])('in %s', precision => {
  const digits = precision === 'float64' ? 12 : 5

  it('uniform rows are the mean of all values, and the others stay as they are', async () => {
    const zeros = await run({}, precision)
    const { tensors } = await run({ empty_rows: 'uniform' }, precision)
    const before = rowsOf(zeros.tensors.output, D)
    for (const [at, { b, h, empty, row }] of rowsOf(tensors.output, D).entries()) {
      const values = valuesOf(b, h)
      const wanted = empty
        ? values[0].map((_, d) => values.reduce((sum, v) => sum + v[d], 0) / M)
        : before[at].row
      for (const [d, x] of row.entries()) expect(x).toBeCloseTo(wanted[d], digits)
    }
    for (const { empty, row } of rowsOf(tensors.weights, M)) {
      expect(row.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, digits)
      if (empty) expect(new Set(row).size).toBe(1)
    }
    for (const { empty, row } of rowsOf(tensors.entropy, 1))
      if (empty) expect(row[0]).toBeCloseTo(Math.log(M), digits)
    expect(tensors.logsumexp).toEqual(zeros.tensors.logsumexp)
    expect(tensors.masked_scores).toEqual(zeros.tensors.masked_scores)
  })

  it('uniform rows give each value its share, and queries and keys nothing', async () => {
    const zeros = await run({}, precision)
    const { tensors } = await run({ empty_rows: 'uniform' }, precision)
    expect(tensors['grads.q']).toEqual(zeros.tensors['grads.q'])
    expect(tensors['grads.k']).toEqual(zeros.tensors['grads.k'])
    const share = new Map<string, number>()
    for (const { b, h, empty, row } of rowsOf(gradOutput, D)) {
      const kvHead = Math.floor((h * K) / H)
      for (const [d, g] of row.entries()) {
        const key = `${b} ${kvHead} ${d}`
        if (empty) share.set(key, (share.get(key) ?? 0) + g / M)
      }
    }
    for (const [at, x] of tensors['grads.v'].data.entries()) {
      const key = `${Math.floor(at / (K * M * D))} ${Math.floor(at / (M * D)) % K} ${at % D}`
      expect(x).toBeCloseTo(zeros.tensors['grads.v'].data[at] + (share.get(key) as number), digits)
    }
  })

  it('NaN rows are NaN, and the others stay as they are', async () => {
    const zeros = await run({ mask: floatMask, backward: { grad_output: gradOutput } }, precision)
    const { tensors } = await run(
      { empty_rows: 'nan', mask: floatMask, backward: { grad_output: gradOutput } },
      precision,
    )
    for (const [name, width] of [
      ['output', D],
      ['weights', M],
      ['entropy', 1],
      ['grads.q', D],
    ] as const) {
      const before = rowsOf(zeros.tensors[name], width)
      for (const [at, { empty, row }] of rowsOf(tensors[name], width).entries()) {
        expect([name, row]).toEqual([name, empty ? row.map(() => Number.NaN) : before[at].row])
      }
    }
    expect(tensors.logsumexp).toEqual(zeros.tensors.logsumexp)
    for (const name of ['grads.k', 'grads.v']) expect(tensors[name].data.every(Number.isNaN)).toBe(true)
    const ofMask = tensors['grads.mask'].data
    for (const [at, x] of ofMask.entries()) {
      const [b, i] = [Math.floor(at / (N * M)), Math.floor(at / M) % N]
      expect(x).toEqual(isEmpty(b, i) ? Number.NaN : zeros.tensors['grads.mask'].data[at])
    }
  })
})

it('gradients of uniform rows are those of the loss', async () => {
  const { tensors } = await run({ empty_rows: 'uniform' })
  const loss = async (name: 'q' | 'k' | 'v', at: number, step: number) => {
    const data = body[name].data.with(at, body[name].data[at] + step)
    const moved = await run({ [name]: { ...body[name], data }, empty_rows: 'uniform', backward: undefined })
    return moved.tensors.output.data.reduce((sum, x, index) => sum + x * gradOutput.data[index], 0)
  }
  for (const name of ['q', 'k', 'v'] as const) {
    for (const at of [0, 4, 17, 29, 41]) {
      const numeric = ((await loss(name, at, 1e-5)) - (await loss(name, at, -1e-5))) / 2e-5
      expect(tensors[`grads.${name}`].data[at]).toBeCloseTo(numeric, 7)
    }
  }
})

it('positions may come first', async () => {
  const turned = ({ shape: [b, h, n, d], data }: { shape: number[]; data: number[] }) => ({
    shape: [b, n, h, d],
    data: Array.from({ length: data.length }, (_, at) => {
      const [bb, i, hh, dd] = [
        Math.floor(at / (n * h * d)),
        Math.floor(at / (h * d)) % n,
        Math.floor(at / d) % h,
        at % d,
      ]
      return data[((bb * h + hh) * n + i) * d + dd]
    }),
  })
  const { tensors } = await run({ empty_rows: 'uniform' })
  const other = await run({
    ...{ q: turned(body.q), k: turned(body.k), v: turned(body.v), layout: 'bnhd', empty_rows: 'uniform' },
    backward: { grad_output: turned(gradOutput), wrt: ['q', 'k', 'v'] },
  })
  for (const name of ['output', 'grads.q', 'grads.k', 'grads.v']) {
    expect(other.tensors[name].data).toEqual(turned(tensors[name]).data)
  }
  expect(other.tensors.weights).toEqual(tensors.weights)
})

it('padding is no empty row', async () => {
  const { tensors } = await run({ empty_rows: 'nan', q_lengths: [1, 3], backward: undefined })
  for (const { b, i, row } of rowsOf(tensors.output, D)) {
    const live = i < [1, 3][b]
    expect(row.some(Number.isNaN)).toBe(live && isEmpty(b, i))
  }
})

it('has tangents: those of the mean', async () => {
  const tangent = draw(9, B, K, M, D)
  const jvp = { v: tangent, q: draw(8, B, H, N, D) }
  const { tensors } = await run({ empty_rows: 'uniform', jvp, backward: undefined })
  const moved = async (step: number) => {
    const data = body.v.data.map((x, at) => x + step * tangent.data[at])
    const q = { ...body.q, data: body.q.data.map((x, at) => x + step * jvp.q.data[at]) }
    return (await run({ empty_rows: 'uniform', q, v: { ...body.v, data }, backward: undefined })).tensors
      .output.data
  }
  const [more, less] = [await moved(1e-5), await moved(-1e-5)]
  for (const [at, x] of tensors['jvp.output'].data.entries())
    expect(x).toBeCloseTo((more[at] - less[at]) / 2e-5, 7)
})

it('of a layer goes through its projections', async () => {
  const x = draw(1, 1, 3, 4)
  const causalOff = [
    [false, false, false],
    [true, false, false],
    [true, true, true],
  ]
  const layer = { x, heads: 2, init: { seed: 1 }, mask: causalOff, return: ['output', 'weights'] }
  const nan = await runProgram('/v1/multi-head-attention', { ...layer, empty_rows: 'nan' })
  const rows = [0, 1, 2].map(i => nan.tensors.output.data.slice(4 * i, 4 * i + 4).map(Number.isNaN))
  expect(rows).toEqual([
    [true, true, true, true],
    [false, false, false, false],
    [false, false, false, false],
  ])
  const stack = { stack: { layers: 2, heads: 2, init: { seed: 1 } }, x, mask: causalOff }
  const uniform = await runProgram('/v1/transformer', {
    ...stack,
    empty_rows: 'uniform',
    return: ['weights'],
  })
  for (const layer of [0, 1]) {
    const { data } = uniform.tensors[`layers.${layer}.weights`]
    for (const weight of data.slice(0, 3)) expect(weight).toBeCloseTo(1 / 3, 6)
  }
})

it.each<[object, string]>([
  [{ empty_rows: 'nan', attention_kind: 'linear', mask: undefined, return: ['output'] }, '/attention_kind'],
  [{ empty_rows: 'uniform', dropout: { p: 0.5 } }, '/dropout'],
  [{ empty_rows: 'nan', relative_bias: { table: draw(1, 4, H) } }, '/relative_bias'],
])('may not stand beside all: %j', async (more, path) => {
  const error: { errors?: { path: string }[] } = await run(more).then(
    () => ({}),
    problem => problem,
  )
  expect(error.errors?.map(each => each.path)).toEqual(['/empty_rows', path])
})
