import * as fc from 'fast-check'
import {
  given,
  type OpCase,
  type Order,
  plainOutputs,
  plainSum,
  randomTensors,
  withNaN,
} from '../../../test/support/op-case.ts'
import { NORM_ROWS, type NormArgs, normBackward, normForward } from './op.ts'

export interface NormSpec extends NormArgs {
  backward: boolean
  gamma: boolean
  beta: boolean
  residual: boolean
  /** added to every element: LayerNorm must not lose digits to it */
  shift: number
  /** backward: a row that nobody read, whose gradY is zero */
  unread: number | undefined
  seed: number
}

const sizes = (...values: number[]) => fc.constantFrom(...values)

export const normSpecs: fc.Arbitrary<NormSpec> = fc.record({
  backward: fc.boolean(),
  rows: sizes(1, 3, 31, 33, 70),
  dim: sizes(1, 3, 7, 16, 17, 59, 128),
  kind: fc.constantFrom('layer', 'rms'),
  eps: sizes(1e-5, 0.1),
  gamma: fc.boolean(),
  beta: fc.boolean(),
  residual: fc.boolean(),
  shift: sizes(0, 0, 3),
  unread: fc.option(fc.nat(), { nil: undefined }),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
})

export function normCase(spec: NormSpec): OpCase {
  const { rows, dim, kind, eps } = spec
  const args: NormArgs = { rows, dim, kind, eps }
  const random = randomTensors(spec.seed)
  const x = random(rows * dim, 1, spec.shift)
  const again = (seed: number) => normCase({ ...spec, seed })
  const gamma = spec.gamma && random(dim)
  if (!spec.backward) {
    const inputs = given({ x, gamma, beta: spec.beta && random(dim) })
    const c: OpCase = { op: normForward, args, inputs, outputs: { y: rows * dim }, again }
    return { ...c, plain: order => plainNorm(c, order) }
  }
  const gradY = random(rows * dim)
  const row = (spec.unread ?? 0) % rows
  const unread: [number, number] = [row * dim, (row + 1) * dim]
  if (spec.unread !== undefined) gradY.fill(0, ...unread)
  const inputs = given({ x, gamma, gradY, residual: spec.residual && random(rows * dim) })
  const units = Math.ceil(rows / NORM_ROWS)
  const outputs = given({
    gradX: rows * dim,
    partialGamma: spec.gamma && units * dim,
    partialBeta: spec.beta && units * dim,
  })
  const hidden = spec.unread === undefined ? undefined : withNaN(inputs, { x: [unread] })
  const c: OpCase = { op: normBackward, args, inputs, outputs, again, hidden }
  return { ...c, plain: order => plainNorm(c, order) }
}

const f = Math.fround

function plainNorm(c: OpCase, order: Order): Record<string, Float32Array> {
  const out = plainOutputs(c)
  const { rows, dim, kind, eps } = c.args as NormArgs
  const { x, gamma, beta, gradY, residual } = c.inputs
  for (let row = 0; row < rows; row++) {
    const at = row * dim
    const mean = kind === 'layer' ? f(plainSum(order, dim, d => x[at + d]) / dim) : 0
    const centred = (d: number) => f(x[at + d] - mean)
    const square = f(plainSum(order, dim, d => f(centred(d) * centred(d))) / dim)
    const r = f(Math.sqrt(f(square + f(eps))))
    const unit = (d: number) => f(centred(d) / r)
    if (out.y) {
      for (let d = 0; d < dim; d++) out.y[at + d] = f(f(unit(d) * (gamma?.[d] ?? 1)) + (beta?.[d] ?? 0))
      continue
    }
    const g = (d: number) => f(gradY[at + d] * (gamma?.[d] ?? 1))
    const meanG = kind === 'layer' ? f(plainSum(order, dim, g) / dim) : 0
    const along = f(plainSum(order, dim, d => f(g(d) * unit(d))) / dim)
    const partial = Math.floor(row / NORM_ROWS) * dim
    for (let d = 0; d < dim; d++) {
      const gradient = f(f(f(g(d) - meanG) - f(unit(d) * along)) / r)
      out.gradX[at + d] = f(gradient + (residual?.[at + d] ?? 0))
      if (out.partialGamma) out.partialGamma[partial + d] += f(gradY[at + d] * unit(d))
      if (out.partialBeta) out.partialBeta[partial + d] += gradY[at + d]
    }
  }
  return out
}

export const cases = normSpecs.map(normCase)

const nothing = { dim: 7, kind: 'layer', eps: 1e-5, rows: 0 } as const
export const empty: OpCase[] = [
  { op: normForward, args: nothing, inputs: { x: new Float64Array(0) }, outputs: { y: 0 } },
  {
    op: normBackward,
    args: nothing,
    inputs: { x: new Float64Array(0), gradY: new Float64Array(0) },
    outputs: { gradX: 0, partialGamma: 0 },
  },
]
