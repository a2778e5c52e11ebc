/** The reference kernels of layers against the formulas, written down as plainly as they can be. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { referenceKernels } from '../../../../workers/kernels/reference/index.ts'
import type { ActivationArgs, LinearArgs, NormArgs } from '../../../../workers/layer-args.ts'
import {
  activationSpecs,
  buildLayerCase,
  type LayerCase,
  linearSpecs,
  normSpecs,
  runLayer,
  simpleSpecs,
} from '../layer-case.ts'

type Rows = number[][]

function expectClose(computed: ArrayLike<number>, right: ArrayLike<number>): void {
  expect(computed.length).toBe(right.length)
  const largest = Array.from(right).reduce((most, value) => Math.max(most, Math.abs(value)), 1)
  for (let i = 0; i < right.length; i++) {
    expect(Math.abs(computed[i] - right[i]), `element ${i}`).toBeLessThan(1e-12 * largest)
  }
}

/** [batch, heads, positions, width] → rows of heads·width columns. */
function joined(x: Float64Array, { batch, positions }: LinearArgs, heads: number, dim: number): Rows {
  const width = dim / heads
  return Array.from({ length: batch * positions }, (_, row) =>
    Array.from({ length: dim }, (_, column) => {
      const [b, position] = [Math.floor(row / positions), row % positions]
      const [head, j] = [Math.floor(column / width), column % width]
      return x[((b * heads + head) * positions + position) * width + j]
    }),
  )
}

function matrix(x: Float64Array, columns: number): Rows {
  return Array.from({ length: x.length / columns }, (_, row) =>
    Array.from(x.subarray(row * columns, (row + 1) * columns)),
  )
}

const transposed = (x: Rows): Rows => x[0].map((_, column) => x.map(row => row[column]))
const product = (x: Rows, y: Rows): Rows =>
  x.map(row => y[0].map((_, column) => row.reduce((sum, value, k) => sum + value * y[k][column], 0)))
const plus = (x: Rows, y: Rows): Rows => x.map((row, r) => row.map((value, column) => value + y[r][column]))

function linear(c: LayerCase): Rows {
  const a = c.args as LinearArgs
  const { x, weight, gradY, bias, residual } = c.inputs
  switch (c.op) {
    case 'linearForward': {
      let y = product(joined(x, a, a.headsIn, a.dimIn), matrix(weight, a.dimOut))
      if (bias) y = y.map(row => row.map((value, column) => value + bias[column]))
      return residual ? plus(y, joined(residual, a, a.headsOut, a.dimOut)) : y
    }
    case 'linearBackwardInput': {
      const gradX = product(joined(gradY, a, a.headsOut, a.dimOut), transposed(matrix(weight, a.dimOut)))
      return residual ? plus(gradX, joined(residual, a, a.headsIn, a.dimIn)) : gradX
    }
    default: {
      const rows = joined(x, a, a.headsIn, a.dimIn)
      return product(transposed(rows), joined(gradY, a, a.headsOut, a.dimOut))
    }
  }
}

describe('products with weights', () => {
  it('over random sizes, head layouts, bias and residual', () => {
    fc.assert(
      fc.property(linearSpecs, spec => {
        const c = buildLayerCase(spec)
        const a = c.args as LinearArgs
        const { y, gradX, gradWeight } = runLayer(referenceKernels, c) as Record<string, Float64Array>
        const computed = y
          ? joined(y, a, a.headsOut, a.dimOut)
          : gradX
            ? joined(gradX, a, a.headsIn, a.dimIn)
            : matrix(gradWeight, a.dimOut)
        expectClose(computed.flat(), linear(c).flat())
      }),
      { numRuns: 40 },
    )
  })
})

describe('norms', () => {
  it('over random sizes, with and without gain and offset', () => {
    fc.assert(
      fc.property(normSpecs, spec => {
        const c = buildLayerCase({ ...spec, op: 'normForward' })
        const { dim, kind, eps } = c.args as NormArgs
        const { x, gamma, beta } = c.inputs
        const right = matrix(x, dim).flatMap(row => {
          const mean = kind === 'layer' ? row.reduce((sum, value) => sum + value) / dim : 0
          const square = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / dim
          return row.map((value, d) => {
            const unit = (value - mean) / Math.sqrt(square + eps)
            return unit * (gamma?.[d] ?? 1) + (beta?.[d] ?? 0)
          })
        })
        expectClose(runLayer(referenceKernels, c).y, right)
      }),
    )
  })
})

/** ∫ of the normal density up to x, by Simpson's rule: nothing in common with the kernel. */
function cumulative(x: number): number {
  const steps = 4000
  const h = x / steps
  const density = (z: number) => Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)
  let sum = density(0) + density(x)
  for (let i = 1; i < steps; i++) sum += (i % 2 === 1 ? 4 : 2) * density(i * h)
  return 0.5 + (sum * h) / 3
}

describe('activations', () => {
  const silu = (x: number) => x / (1 + Math.exp(-x))
  const right: Record<ActivationArgs['kind'], (x: number, gate: number) => number> = {
    relu: x => (x > 0 ? x : 0),
    gelu: x => x * cumulative(x),
    gelu_tanh: x => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
    silu,
    swiglu: (x, gate) => silu(gate) * x,
  }

  it('over random sizes', () => {
    fc.assert(
      fc.property(activationSpecs, spec => {
        const c = buildLayerCase({ ...spec, op: 'activationForward', count: Math.min(spec.count, 300) })
        const { x, gate } = c.inputs
        expectClose(
          runLayer(referenceKernels, c).y,
          x.map((value, i) => right[spec.kind](value, gate?.[i])),
        )
      }),
    )
  })

  it.each(['gelu', 'gelu_tanh', 'silu', 'relu'] as const)('%s at the ends of the line', kind => {
    const x = Float64Array.of(Number.NEGATIVE_INFINITY, -1e300, -60, 0, 60, 1e300, Number.POSITIVE_INFINITY)
    const run = (op: 'activationForward' | 'activationBackward') => {
      const inputs: LayerCase['inputs'] =
        op === 'activationForward' ? { x } : { x, gradY: new Float64Array(7).fill(1) }
      const outputs: Record<string, number> = op === 'activationForward' ? { y: 7 } : { gradX: 7 }
      const c: LayerCase = { op, args: { kind, count: 7 }, units: 1, inputs, outputs }
      return Array.from(Object.values(runLayer(referenceKernels, c))[0])
    }
    const values = run('activationForward')
    const slopes = run('activationBackward')
    for (let i = 0; i < 7; i++) {
      if (x[i] > 0) expect(values[i]).toBe(x[i])
      else expect(Math.abs(values[i])).toBeLessThan(1e-20)
      if (x[i] !== 0) expect(slopes[i]).toBeCloseTo(x[i] > 0 ? 1 : 0, 20)
    }
    expect(slopes[3]).toBe(kind === 'relu' ? 0 : 0.5)
  })
})

describe('sums, additions and dropout of rows', () => {
  it('over random sizes', () => {
    fc.assert(
      fc.property(simpleSpecs, spec => {
        const c = buildLayerCase(spec)
        const { y } = runLayer(referenceKernels, c)
        const { x, a, b } = c.inputs
        const { batch, heads, positions, width } = spec
        if (spec.op === 'columnSums') {
          const right = new Float64Array(heads * width)
          for (let i = 0; i < batch * heads * positions * width; i++) {
            const head = Math.floor(i / (positions * width)) % heads
            right[head * width + (i % width)] += x[i]
          }
          expectClose(y, right)
        } else if (spec.op === 'add') {
          expectClose(
            y,
            a.map((value, i) => value + b[i % b.length]),
          )
        } else {
          const scale = 1 / (1 - spec.p)
          y.forEach((value, i) => {
            if (value !== 0 || spec.p === 0) expect(value).toBeCloseTo(scale * x[i], 12)
          })
        }
      }),
    )
  })
})
