/** Parameters drawn by `init`: their moments over fans, their bits from a seed, their independence; and why 1/√d_k. */
import { describe, expect, it } from 'vitest'
import { drawer } from '../support/layer-cases.ts'
import { attention, post, startServer } from './server.ts'

const server = await startServer()
const MOST_SEED = 2 ** 53 - 1

interface Drawn {
  shape: number[]
  data: Float64Array
}

/** The parameters that a layer draws, in the precision. */
async function drawn(path: string, body: Record<string, unknown>): Promise<Record<string, Drawn>> {
  const request = { precision: 'float64', encoding: 'base64', ...body, return: ['params'] }
  const answer = await post(server, path, request)
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  const entries = Object.entries(answer.body.params as Record<string, { shape: number[]; base64: string }>)
  const numbers = (base64: string) => {
    const { buffer } = Uint8Array.from(Buffer.from(base64, 'base64'))
    return request.precision === 'float64'
      ? new Float64Array(buffer)
      : Float64Array.from(new Float32Array(buffer))
  }
  return Object.fromEntries(
    entries.map(([name, { shape, base64 }]) => [name, { shape, data: numbers(base64) }]),
  )
}

const mean = (x: ArrayLike<number>, f: (value: number, index: number) => number): number => {
  let sum = 0
  for (let i = 0; i < x.length; i++) sum += f(x[i], i)
  return sum / x.length
}

/** Far in the tail of a mean of `count` numbers whose standard deviation is 1. */
const fluctuation = (count: number) => 4.5 / Math.sqrt(count)

const SCHEMES = {
  xavier_uniform: { variance: (fanIn: number, fanOut: number) => 2 / (fanIn + fanOut), kurtosis: 9 / 5 },
  xavier_normal: { variance: (fanIn: number, fanOut: number) => 2 / (fanIn + fanOut), kurtosis: 3 },
  he_uniform: { variance: (fanIn: number) => 2 / fanIn, kurtosis: 9 / 5 },
  he_normal: { variance: (fanIn: number) => 2 / fanIn, kurtosis: 3 },
} as const

describe.each(Object.entries(SCHEMES))('%s', (scheme, { variance, kurtosis }) => {
  it('has mean 0, the variance of its fans and the shape of its distribution, in every matrix', async () => {
    const body = {
      x: { shape: [0, 240], data: [] },
      context: { shape: [0, 61], data: [] },
      heads: 6,
      kv_heads: 2,
      d_k: 50,
      d_v: 110,
      d_out: 77,
      init: { scheme, seed: 42 },
    }
    const params = await drawn('/v1/multi-head-attention', body)
    expect(Object.fromEntries(Object.entries(params).map(([name, { shape }]) => [name, shape]))).toEqual({
      w_q: [240, 300],
      w_k: [61, 100],
      w_v: [61, 220],
      w_o: [660, 77],
    })
    for (const [name, { shape, data }] of Object.entries(params)) {
      const expected = variance(shape[0], shape[1])
      const unit = data.map(value => value / Math.sqrt(expected))
      expect(Math.abs(mean(unit, value => value)), name).toBeLessThan(fluctuation(data.length))
      const second = mean(unit, value => value ** 2)
      expect(Math.abs(second - 1), name).toBeLessThan(Math.sqrt(kurtosis - 1) * fluctuation(data.length))
      const fourth = mean(unit, value => value ** 4)
      expect(Math.abs(fourth - kurtosis), name).toBeLessThan(10 * fluctuation(data.length))
      const most = unit.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
      if (scheme.endsWith('uniform')) expect(most, name).toBeLessThanOrEqual(Math.sqrt(3))
      else expect(most, name).toBeGreaterThan(3)
    }
  })
})

describe('a seed', () => {
  const stack = (seed: number, more = {}) => ({
    layers: 3,
    heads: 4,
    d_ff: 48,
    activation: 'swiglu',
    ...more,
    init: { scheme: 'xavier_normal', seed, bias: true },
  })
  const x = { shape: [0, 48], data: [] }

  it('gives the same bits again, another seed others, and float32 the same rounded', async () => {
    const first = await drawn('/v1/transformer', { stack: stack(5), x })
    expect(await drawn('/v1/transformer', { stack: stack(5), x })).toEqual(first)
    const single = await drawn('/v1/transformer', { stack: stack(5), x, precision: 'float32' })
    const other = await drawn('/v1/transformer', { stack: stack(6), x })
    for (const [name, { data }] of Object.entries(first)) {
      expect(single[name].data, name).toEqual(data.map(Math.fround))
      if (name.includes('.w_')) expect(other[name].data[0], name).not.toBe(data[0])
    }
  })

  it('sets biases to 0, gamma to 1 and beta to 0', async () => {
    const params = await drawn('/v1/transformer', { stack: stack(5), x })
    const constants = Object.entries(params).filter(([name]) => !name.includes('.w_'))
    expect(constants.length).toBe(3 * (6 + 4))
    for (const [name, { data }] of constants) {
      expect(new Set(data), name).toEqual(new Set([name.endsWith('gamma') ? 1 : 0]))
    }
  })

  it('draws every parameter of a request independently of the others, and of its own rows', async () => {
    const params = await drawn('/v1/transformer', { stack: stack(5), x })
    const weights = Object.entries(params).filter(([name]) => name.includes('.w_'))
    expect(weights.length).toBe(3 * 7)
    const units = weights.map(([name, { shape, data }]) => {
      const deviation = Math.sqrt(2 / (shape[0] + shape[1]))
      return [name, data.map(value => value / deviation)] as const
    })
    for (const [a, [nameA, dataA]] of units.entries()) {
      for (const [nameB, dataB] of units.slice(a + 1)) {
        const correlation = mean(dataA, (value, i) => value * dataB[i])
        expect(Math.abs(correlation), `${nameA}, ${nameB}`).toBeLessThan(fluctuation(dataA.length))
      }
      for (const distance of [1, 2, 48, 1024]) {
        const shifted = mean(dataA, (value, i) => value * dataA[(i + distance) % dataA.length])
        expect(Math.abs(shifted), `${nameA} + ${distance}`).toBeLessThan(fluctuation(dataA.length))
      }
    }
  })

  // by the documented generator, written anew in another language (initialise.ts has the formula)
  const W_Q = {
    xavier_uniform: [0.20368702753558618, 0.26350792992659683, -0.8700127156045067],
    xavier_normal: [0.14930727403178815, 0.19490917084114392, -1.004233227545677],
    he_uniform: [0.31113707392079276, 0.4025150117032498, -1.3289663749439133],
    he_normal: [0.22807062835272787, 0.2977286763402072, -1.533991593539292],
  }
  const W_V = {
    xavier_uniform: [-1.0323424889837893, 0.7537424349582591, 1.0292306055838745],
    xavier_normal: [-1.2008403318543066, 0.6395261777708553, 1.1874551073699595],
    he_uniform: [-1.3327484224721768, 0.9730772993077217, 1.3287309982777735],
    he_normal: [-1.5502782022419723, 0.8256247453234021, 1.5329979517375978],
  }
  it.each([
    [42, 'w_q', W_Q],
    [MOST_SEED, 'w_v', W_V],
  ] as const)('of %d gives these numbers in %s on every machine', async (seed, name, golden) => {
    for (const [scheme, expected] of Object.entries(golden)) {
      const body = { x: { shape: [0, 3], data: [] }, d_k: 4, d_v: 2, init: { scheme, seed } }
      const { [name]: w } = await drawn('/v1/self-attention', body)
      for (const [i, value] of expected.entries()) expect(w.data[i], scheme).toBeCloseTo(value, 14)
    }
  })
})

describe('why scores are divided by √d_k', () => {
  /** [B, N, d]: elements of mean 0 and variance 1. */
  const unitVariance = (seed: number, ...shape: number[]) => {
    const { data } = drawer(seed)(...shape)
    // three uniforms have a variance of 3/12
    const bytes = Buffer.from(Float32Array.from(data, value => 2 * value).buffer)
    return { shape, dtype: 'float32', base64: bytes.toString('base64') }
  }

  it.each([4, 16, 64, 256])('q·k has variance d_k, scaled 1 (d_k = %d)', async d => {
    const [batch, n] = [500, 4]
    const body = {
      q: unitVariance(d, batch, n, d),
      k: unitVariance(d + 1, batch, n, d),
      v: unitVariance(d + 2, batch, n, 1),
      return: ['scores', 'entropy'],
      encoding: 'flat',
    }
    const { body: raw } = await attention(server, { ...body, scale: 1 })
    const { body: scaled } = await attention(server, body)
    const variance = ({ data }: { data: number[] }) => {
      const centre = mean(data, s => s)
      return mean(data, s => (s - centre) ** 2)
    }
    // pairs of one row share their q: no more than all of them, no fewer than rows
    const most = Math.sqrt(3) * fluctuation(batch * n)
    expect(Math.abs(variance(raw.scores) / d - 1)).toBeLessThan(most)
    expect(Math.abs(variance(scaled.scores) - 1)).toBeLessThan(most)
    expect(variance(raw.scores) / variance(scaled.scores)).toBeCloseTo(d, 2)

    // so a softmax of unscaled scores is nearly one-hot for large d_k; scaled, it is as soft as ever
    const entropy = ({ data }: { data: number[] }) => mean(data, each => each) / Math.log(n)
    expect(entropy(scaled.entropy)).toBeGreaterThan(0.65)
    expect(entropy(raw.entropy)).toBeLessThan(1.6 / Math.sqrt(d))
  })

  it('a projection by Xavier keeps a variance of 1, so that it holds for q and k made from x too', async () => {
    const d = 256
    const body = {
      x: unitVariance(9, 500, 4, d),
      init: { scheme: 'xavier_normal', seed: 1 },
      return: ['scores'],
      encoding: 'flat',
    }
    const { body: answer } = await post(server, '/v1/self-attention', body)
    const { data } = answer.scores as { data: number[] }
    const off = data.filter((_, pair) => Math.floor(pair / 4) % 4 !== pair % 4)
    expect(Math.abs(mean(off, s => s ** 2) - 1)).toBeLessThan(0.1)
  })
})
