/** Forward mode: against central differences, against the gradients, and the same bits whatever a request is cut into. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { differences, jvpBody, jvpProblems, PATH, RESULTS } from '../../test/support/jvp-cases.ts'
import { type Body, drawer, type Flat } from '../../test/support/layer-cases.ts'
import { runProgram } from '../../test/support/run-program.ts'

const largestOf = (values: number[]) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 1)

/** Rows that are padding have no part in a loss, though logsumexp is that of a sink there. */
function withoutPadding(x: Flat, { q_lengths }: Body): Flat {
  const rows = x.shape[x.shape.length - 1]
  const ofBatch = x.data.length / x.shape[0]
  const isPadding = (at: number) => at % rows >= (q_lengths as number[])[Math.floor(at / ofBatch)]
  if (q_lengths === undefined) return x
  return { shape: x.shape, data: x.data.map((value, at) => (isPadding(at) ? 0 : value)) }
}

describe('tangents in float64', () => {
  it('are what central differences of the forward pass are', async () => {
    await fc.assert(
      fc.asyncProperty(jvpProblems, async problem => {
        const body = jvpBody(problem)
        const { tensors } = await runProgram(PATH, body)
        const expected = await differences(body)
        for (const name of RESULTS) {
          const { shape, data } = tensors[`jvp.${name}`]
          expect(shape, name).toEqual(tensors[name].shape)
          const largest = largestOf(expected[name])
          for (const [at, value] of data.entries()) {
            const error = Math.abs(value - expected[name][at]) / largest
            expect(error, `${name}[${at}]: ${value}, by differences ${expected[name][at]}`).toBeLessThan(1e-7)
          }
        }
      }),
      { numRuns: 250 },
    )
  })

  it('and gradients say the same of a loss: ⟨∂L/∂results, tangents of results⟩ = ⟨∂L/∂inputs, tangents of inputs⟩', async () => {
    await fc.assert(
      fc.asyncProperty(jvpProblems, async problem => {
        const body = jvpBody(problem)
        const jvp = body.jvp as Record<string, Flat>
        const draw = drawer(problem.seed + 1)
        const { tensors: forward } = await runProgram(PATH, { ...body, jvp: undefined })
        const grad = (name: string) => draw(...forward[name].shape)
        const ofResults: Record<string, Flat> = {
          output: grad('output'),
          weights: grad('weights'),
          logsumexp: withoutPadding(grad('logsumexp'), body),
        }
        const terms = Object.fromEntries(
          Object.entries(ofResults).map(([name, gradient]) => [`grad_${name}`, gradient]),
        )
        const backward = { ...terms, wrt: Object.keys(jvp) }
        const { tensors } = await runProgram(PATH, { ...body, backward })
        const products = (pairs: [Flat, { data: number[] }][]) =>
          pairs.flatMap(([x, y]) => x.data.map((value, at) => value * y.data[at]))
        const results = products(Object.entries(ofResults).map(([name, g]) => [g, tensors[`jvp.${name}`]]))
        const inputs = products(Object.entries(jvp).map(([name, t]) => [t, tensors[`grads.${name}`]]))
        const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)
        expect(Math.abs(sum(results) - sum(inputs))).toBeLessThan(1e-10 * largestOf(results) * results.length)
      }),
      { numRuns: 150 },
    )
  })
})

/** Rows [begin, end) of the last axis but one. */
function rowsOf({ shape, data }: { shape: number[]; data: number[] }, begin: number, end: number): Flat {
  const [rows, dim] = shape.slice(-2)
  const outer = shape.slice(0, -2)
  const heads = outer.reduce((product, extent) => product * extent, 1)
  const some = Array.from({ length: heads }, (_, h) =>
    data.slice((h * rows + begin) * dim, (h * rows + end) * dim),
  )
  return { shape: [...outer, end - begin, dim], data: some.flat() }
}

describe.each(['float32', 'float64'])('tangents in %s', precision => {
  const draw = drawer(5)
  const [q, k, v] = [draw(1, 2, 150, 6), draw(1, 2, 150, 6), draw(1, 2, 150, 5)]
  const jvp = { q: draw(...q.shape), k: draw(...k.shape), v: draw(...v.shape), sinks: draw(2) }
  const whole: Body = { q, k, v, jvp, sinks: draw(2), precision, causal: true, return: [...RESULTS] }

  it('have the bits of a row by itself, in whatever chunk of queries it comes', async () => {
    const { tensors } = await runProgram(PATH, whole)
    for (const [begin, end] of [
      [0, 1],
      [1, 40],
      [40, 129],
      [129, 150],
    ]) {
      const upTo = (x: Flat) => rowsOf(x, 0, end)
      const chunk = {
        ...whole,
        ...{ q: rowsOf(q, begin, end), k: upTo(k), v: upTo(v), causal: 'bottom_right' },
        jvp: { ...jvp, q: rowsOf(jvp.q, begin, end), k: upTo(jvp.k), v: upTo(jvp.v) },
      }
      const found = (await runProgram(PATH, chunk)).tensors
      expect(found['jvp.output'].data).toEqual(rowsOf(tensors['jvp.output'], begin, end).data)
    }
  })

  it('are the same bits however their units are cut', async () => {
    const { tensors } = await runProgram(PATH, whole)
    expect((await runProgram(PATH, whole, 1)).tensors).toEqual(tensors)
  })

  it('are the same whatever else is asked for', async () => {
    const { tensors } = await runProgram(PATH, whole)
    for (const name of RESULTS) {
      const found = (await runProgram(PATH, { ...whole, return: [name] })).tensors
      expect(Object.keys(found).sort()).toEqual([name, `jvp.${name}`].sort())
      expect(found[`jvp.${name}`]).toEqual(tensors[`jvp.${name}`])
    }
    const backward = { grad_output: draw(1, 2, 150, 5) }
    const both = (await runProgram(PATH, { ...whole, backward })).tensors
    expect(Object.keys(both)).toContain('grads.q')
    for (const name of RESULTS) expect(both[`jvp.${name}`]).toEqual(tensors[`jvp.${name}`])
  })

  it('see nothing behind masks, not even a NaN', async () => {
    const at = (x: Flat, index: number, value: unknown) => ({
      ...x,
      data: x.data.map((each, here) => (here === index ? value : each)),
    })
    const mask = { shape: [2, 3], data: [0, 1, '-Infinity', 0.5, 0, '-Infinity'] }
    const small = {
      q: draw(2, 4),
      k: draw(3, 4),
      v: draw(3, 2),
      mask,
      precision,
      return: [...RESULTS],
      jvp: { q: draw(2, 4), k: draw(3, 4), v: draw(3, 2), mask: draw(2, 3) },
    }
    const hidden = {
      ...small,
      non_finite: 'propagate',
      k: at(small.k, 9, 'NaN'),
      v: at(small.v, 5, 'NaN'),
      jvp: {
        ...small.jvp,
        k: at(small.jvp.k, 11, 'NaN'),
        v: at(small.jvp.v, 4, 'Infinity'),
        mask: at(small.jvp.mask, 5, 'NaN'),
      },
    }
    const { tensors } = await runProgram(PATH, small)
    expect((await runProgram(PATH, hidden)).tensors).toEqual(tensors)
    const seen = { ...hidden, jvp: { ...hidden.jvp, v: at(small.jvp.v, 0, 'NaN') } }
    const output = (await runProgram(PATH, seen)).tensors['jvp.output'].data
    expect(output.map(Number.isNaN)).toEqual([true, false, true, false])
  })

  it('are 0 in rows that attend to nothing, and that of logsumexp is the sink’s', async () => {
    const mask = [[false, false]]
    const body = { q: draw(1, 3), k: draw(2, 3), v: draw(2, 2), mask, precision, return: [...RESULTS] }
    const moving = { q: draw(1, 3), k: draw(2, 3), v: draw(2, 2) }
    const alone = (await runProgram(PATH, { ...body, jvp: moving })).tensors
    expect(alone['jvp.output'].data).toEqual([0, 0])
    expect(alone['jvp.weights'].data).toEqual([0, 0])
    expect(alone['jvp.logsumexp'].data).toEqual([0])
    const sunk = { ...body, sinks: [1.5], jvp: { ...moving, sinks: [0.25] } }
    const { tensors } = await runProgram(PATH, sunk)
    expect(tensors['jvp.output'].data).toEqual([0, 0])
    expect(tensors['jvp.weights'].data).toEqual([0, 0])
    expect(tensors['jvp.logsumexp'].data).toEqual([0.25])
  })

  it('do not overflow on the way where they can be represented', async () => {
    const half = (count: number, first: number, second: number) =>
      Array.from({ length: 2 * count }, (_, j) => [j < count ? first : second])
    const body = { q: [[1]], k: half(50, 0, 0), v: half(50, 1e37, 0.9e37), scale: 1, precision }
    // weights of 1/100 whose tangents are 1 and −1: the first half of the sum is 5e38
    const jvp = { k: half(50, 100, -100), v: half(50, 0, 1e37) }
    const { tensors } = await runProgram(PATH, { ...body, jvp })
    expect(tensors['jvp.output'].data[0] / 1e37).toBeCloseTo(50 - 45 + 0.5, 4)
  })

  it('may be of nothing: no queries, no keys, no batch', async () => {
    for (const [batch, rows, keys] of [
      [0, 2, 3],
      [2, 0, 3],
      [2, 3, 0],
    ]) {
      const [q, k, v] = [draw(batch, 2, rows, 4), draw(batch, 1, keys, 4), draw(batch, 1, keys, 3)]
      const body = {
        q,
        k,
        v,
        sinks: draw(2),
        jvp: { q, k, v, sinks: [1, 2] },
        rope: {},
        qk_norm: 'l2',
        precision,
      }
      const { tensors } = await runProgram(PATH, { ...body, return: [...RESULTS] })
      for (const name of RESULTS) expect(tensors[`jvp.${name}`].shape).toEqual(tensors[name].shape)
      expect(tensors['jvp.output'].data).toEqual(tensors.output.data.map(() => 0))
      // without a key, logsumexp is the sink
      const ofSinks = [1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2]
      if (keys === 0) expect(tensors['jvp.logsumexp'].data).toEqual(ofSinks)
    }
  })

  it('come right from scores that a float32 logsumexp could not tell apart', async () => {
    const least = -3.4028234663852886e38
    const body = {
      ...{ q: [[1]], k: [[0.5], [1], [2]], v: [[3], [6], [9]], scale: 1, mask: [[least, least, least]] },
      precision,
      return: [...RESULTS],
    }
    const { tensors } = await runProgram(PATH, { ...body, jvp: { k: [[3], [0], [0]], v: [[1], [1], [1]] } })
    const near = (name: string, expected: number[]) => {
      for (const [at, value] of expected.entries()) expect(tensors[name].data[at]).toBeCloseTo(value, 5)
    }
    near('jvp.logsumexp', [1])
    near('jvp.weights', [2 / 3, -1 / 3, -1 / 3])
    near('jvp.output', [2 - 2 - 3 + 1])
  })
})

it('needs memory that grows with N·d alone, unless weights are asked for', async () => {
  const bytes = async (rows: number, names: string[]) => {
    const tensor = drawer(1)(rows, 4)
    const tensors = { q: tensor, k: tensor, v: tensor }
    return (await runProgram(PATH, { ...tensors, jvp: tensors, return: names })).bytes
  }
  const [few, more, most] = await Promise.all(
    [256, 512, 1024].map(rows => bytes(rows, ['output', 'logsumexp'])),
  )
  // buffers are aligned
  expect(Math.abs(most - more - 2 * (more - few))).toBeLessThan(4096)
  expect(await bytes(1024, ['weights'])).toBeGreaterThan(4 * 1024 * 1024)
})
