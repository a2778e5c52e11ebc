import { describe, expect, it } from 'vitest'
import { referenceKernels as kernels } from '../../../../workers/kernels/reference/index.ts'
import { normalNumbers } from '../attention-case.ts'

const normal = normalNumbers(5)
const random = (count: number, scale = 1) => Float64Array.from({ length: count }, () => scale * normal())
const inner = (x: Float64Array, y: Float64Array) => x.reduce((sum, value, i) => sum + value * y[i], 0)

/** Central differences of Σ w·f(x) against a gradient. */
function expectGradient(
  f: (x: Float64Array) => Float64Array,
  x: Float64Array,
  w: Float64Array,
  gradient: Float64Array,
  step = 1e-6,
) {
  const largest = gradient.reduce((most, g) => Math.max(most, Math.abs(g)), 1e-6)
  for (let i = 0; i < x.length; i++) {
    const value = x[i]
    x[i] = value + step
    const above = inner(w, f(x))
    x[i] = value - step
    const below = inner(w, f(x))
    x[i] = value
    expect(Math.abs((above - below) / (2 * step) - gradient[i]) / largest).toBeLessThan(1e-6)
  }
}

describe('qk-norm', () => {
  const [rows, dim] = [5, 7]
  it.each([
    { kind: 'l2' as const, eps: 1e-12, scale: 1 },
    { kind: 'l2' as const, eps: 50, scale: 1 },
    { kind: 'rms' as const, eps: 1e-6, scale: 1 },
    { kind: 'rms' as const, eps: 0.5, scale: 0.3 },
  ])('$kind, eps $eps', ({ kind, eps, scale }) => {
    const args = { rows, dim, kind, eps }
    const x = random(rows * dim, scale)
    const forward = (from: Float64Array) => {
      const y = new Float64Array(rows * dim)
      kernels.qkNormForward({ x: from, y }, args, 0, rows)
      return y
    }
    const y = forward(x)
    for (let row = 0; row < rows; row++) {
      const squares = inner(x.slice(row * dim, (row + 1) * dim), x.slice(row * dim, (row + 1) * dim))
      const divisor = kind === 'l2' ? Math.max(Math.sqrt(squares), eps) : Math.sqrt(squares / dim + eps)
      for (let d = 0; d < dim; d++) expect(y[row * dim + d]).toBeCloseTo(x[row * dim + d] / divisor, 12)
    }
    const gradY = random(rows * dim)
    const gradX = new Float64Array(rows * dim)
    kernels.qkNormBackward({ x, gradY, gradX }, args, 0, rows)
    expectGradient(forward, x, gradY, gradX)
  })

  it('a row that nobody read has no gradient, whatever stands in it', () => {
    const x = Float64Array.of(Number.NaN, 1)
    const gradX = random(2)
    kernels.qkNormBackward(
      { x, gradY: new Float64Array(2), gradX },
      { rows: 1, dim: 2, kind: 'l2', eps: 1e-12 },
      0,
      1,
    )
    expect(Array.from(gradX)).toEqual([0, 0])
  })

  it('does not overflow', () => {
    const y = new Float32Array(2)
    kernels.qkNormForward(
      { x: Float32Array.of(3e38, 3e38), y },
      { rows: 1, dim: 2, kind: 'l2', eps: 1e-12 },
      0,
      1,
    )
    expect(y[0]).toBeCloseTo(Math.SQRT1_2, 6)
  })
})

describe('rope', () => {
  const [heads, positions, dim] = [2, 5, 8]
  const rows = heads * positions
  it.each([
    { interleaved: false, dims: 8 },
    { interleaved: true, dims: 8 },
    { interleaved: false, dims: 4 },
    { interleaved: true, dims: 6 },
  ])('interleaved $interleaved, dims $dims', ({ interleaved, dims }) => {
    const [cos, sin] = [new Float64Array((positions * dims) / 2), new Float64Array((positions * dims) / 2)]
    kernels.ropeTable({ cos, sin }, { positions, dims, base: 100, offset: 3 }, 0, positions)
    const args = { rows, positions, dim, dims, interleaved }
    const x = random(rows * dim)
    const forward = (from: Float64Array) => {
      const y = new Float64Array(rows * dim)
      kernels.ropeForward({ x: from, cos, sin, y }, args, 0, rows)
      return y
    }
    const y = forward(x)
    for (let row = 0; row < rows; row++) {
      for (let j = 0; j < dims / 2; j++) {
        const angle = ((row % positions) + 3) * 100 ** ((-2 * j) / dims)
        const [first, second] = interleaved ? [2 * j, 2 * j + 1] : [j, j + dims / 2]
        const [x1, x2] = [x[row * dim + first], x[row * dim + second]]
        expect(y[row * dim + first]).toBeCloseTo(x1 * Math.cos(angle) - x2 * Math.sin(angle), 12)
        expect(y[row * dim + second]).toBeCloseTo(x1 * Math.sin(angle) + x2 * Math.cos(angle), 12)
      }
      for (let d = dims; d < dim; d++) expect(y[row * dim + d]).toBe(x[row * dim + d])
    }
    const gradY = random(rows * dim)
    const gradX = new Float64Array(rows * dim)
    kernels.ropeBackward({ gradY, cos, sin, gradX }, args, 0, rows)
    expectGradient(forward, x, gradY, gradX)
  })

  it('scores depend on the distance alone', () => {
    const [q, k] = [random(dim), random(dim)]
    const score = (offsetQ: number, offsetK: number) => {
      const turned = [q, k].map((x, side) => {
        const [cos, sin, y] = [new Float64Array(dim / 2), new Float64Array(dim / 2), new Float64Array(dim)]
        kernels.ropeTable(
          { cos, sin },
          { positions: 1, dims: dim, base: 10000, offset: side === 0 ? offsetQ : offsetK },
          0,
          1,
        )
        kernels.ropeForward(
          { x, cos, sin, y },
          { rows: 1, positions: 1, dim, dims: dim, interleaved: false },
          0,
          1,
        )
        return y
      })
      return inner(turned[0], turned[1])
    }
    expect(score(7, 3)).toBeCloseTo(score(1004, 1000), 10)
    expect(Math.abs(score(7, 3) - score(7, 5))).toBeGreaterThan(1e-6)
  })
})

describe('losses', () => {
  const [batch, heads, queries, dimV] = [2, 2, 3, 4]
  const count = batch * heads * queries * dimV

  it('squared error and its gradient; padding rows take no part', () => {
    const [output, target] = [random(count), random(count)]
    const qLengths = Int32Array.of(2, 3)
    target.fill(Number.NaN, 2 * dimV, 3 * dimV) // batch 0, head 0, the padded row
    const [gradOutput, partials] = [new Float64Array(count), new Float64Array(batch * heads)]
    const args = { batch, heads, queries, dimV, factor: 0.25 }
    const run = (from: Float64Array) => {
      kernels.squaredErrorLoss(
        { output: from, target, qLengths, gradOutput, partials },
        args,
        0,
        batch * heads,
      )
      return Float64Array.of(partials.reduce((a, b) => a + b, 0))
    }
    run(output)
    const gradient = gradOutput.slice()
    expect(Array.from(gradient.slice(2 * dimV, 3 * dimV))).toEqual([0, 0, 0, 0])
    expectGradient(run, output, Float64Array.of(1), gradient)
  })

  it('the entropy term is a mean over the rows that attend to something', () => {
    const scalars = new Float64Array(2)
    const entropy = Float64Array.of(1, 2, 0, 4)
    const logsumexp = Float64Array.of(0, 1, Number.NEGATIVE_INFINITY, 2)
    const args = { rows: 4, entropyWeight: 0.3 }
    kernels.lossTotal({ partials: Float64Array.of(5, 6), entropy, logsumexp, scalars }, args, 0, 1)
    expect(scalars[0]).toBeCloseTo(11 + (0.3 * 7) / 3, 12)
    expect(scalars[1]).toBeCloseTo(0.1, 12)
    logsumexp.fill(Number.NEGATIVE_INFINITY)
    kernels.lossTotal({ entropy, logsumexp, scalars }, args, 0, 1)
    expect(Array.from(scalars)).toEqual([0, 0])
  })
})

describe('position tables', () => {
  it.each([8, 7, 1])('sinusoids of dimension %i', dim => {
    const [positions, offset, base] = [5, 3, 100]
    const encoding = new Float64Array(positions * dim)
    kernels.sinusoidalTable({ encoding }, { positions, dim, base, offset }, 0, positions)
    for (let i = 0; i < positions; i++) {
      for (let j = 0; 2 * j < dim; j++) {
        const angle = (i + offset) / base ** ((2 * j) / dim)
        expect(encoding[i * dim + 2 * j]).toBe(Math.sin(angle))
        if (2 * j + 1 < dim) expect(encoding[i * dim + 2 * j + 1]).toBe(Math.cos(angle))
      }
    }
  })

  it('biases fall with the distance', () => {
    const [heads, queries, keys] = [2, 3, 4]
    const bias = new Float64Array(heads * queries * keys).fill(Number.NaN)
    const slopes = Float64Array.of(0.5, 0.25)
    kernels.alibiBias({ slopes, bias }, { heads, queries, keys }, 0, 2)
    kernels.alibiBias({ slopes, bias }, { heads, queries, keys }, 2, 6)
    const rows = (slope: number) => [
      ...[0, -slope, -2 * slope, -3 * slope],
      ...[-slope, 0, -slope, -2 * slope],
      ...[-2 * slope, -slope, 0, -slope],
    ]
    expect(Array.from(bias)).toEqual([...rows(0.5), ...rows(0.25)])
  })
})

describe('the past before the new', () => {
  const args = { heads: 2, past: 2, positions: 1, dim: 2 }
  const [past, x] = [Float64Array.of(1, 2, 3, 4, 5, 6, 7, 8), Float64Array.of(10, 20, 30, 40)]

  it('forward', () => {
    const y = new Float64Array(12)
    kernels.concatForward({ past, x, y }, args, 1, 2)
    kernels.concatForward({ past, x, y }, args, 0, 1)
    expect(Array.from(y)).toEqual([1, 2, 3, 4, 10, 20, 5, 6, 7, 8, 30, 40])
  })

  it('backward', () => {
    const gradY = Float64Array.of(1, 2, 3, 4, 10, 20, 5, 6, 7, 8, 30, 40)
    const [gradPast, gradX] = [new Float64Array(8), new Float64Array(4)]
    kernels.concatBackward({ gradY, gradPast }, args, 0, 2)
    kernels.concatBackward({ gradY, gradX }, args, 0, 2)
    expect(gradPast).toEqual(past)
    expect(gradX).toEqual(x)
  })

  it('may be empty', () => {
    const y = new Float64Array(4)
    kernels.concatForward({ past: new Float64Array(0), x, y }, { ...args, past: 0 }, 0, 2)
    expect(y).toEqual(x)
  })
})
