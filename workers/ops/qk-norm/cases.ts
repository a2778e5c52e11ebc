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
import { type QkNormArgs, qkNormBackward, qkNormForward } from './op.ts'

export interface QkNormSpec extends QkNormArgs {
  backward: boolean
  /** backward: a row that nobody read, whose gradY is zero */
  unread: number | undefined
  seed: number
}

const sizes = (...values: number[]) => fc.constantFrom(...values)

export const qkNormSpecs: fc.Arbitrary<QkNormSpec> = fc.record({
  backward: fc.boolean(),
  rows: sizes(1, 3, 17, 59),
  dim: sizes(1, 3, 7, 16, 17, 64),
  kind: fc.constantFrom('l2', 'rms'),
  eps: sizes(1e-12, 1e-6, 0.1, 8),
  unread: fc.option(fc.nat(), { nil: undefined }),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
})

export function qkNormCase(spec: QkNormSpec): OpCase {
  const { rows, dim, kind, eps } = spec
  const random = randomTensors(spec.seed)
  const x = random(rows * dim)
  const args: QkNormArgs = { rows, dim, kind, eps }
  const again = (seed: number) => qkNormCase({ ...spec, seed })
  if (!spec.backward) {
    const c: OpCase = { op: qkNormForward, args, inputs: { x }, outputs: { y: rows * dim }, again }
    return { ...c, plain: order => plainQkNorm(c, order) }
  }
  const gradY = random(rows * dim)
  const row = (spec.unread ?? 0) % rows
  const unread: [number, number] = [row * dim, (row + 1) * dim]
  if (spec.unread !== undefined) gradY.fill(0, ...unread)
  const inputs = given({ x, gradY })
  const hidden = spec.unread === undefined ? undefined : withNaN(inputs, { x: [unread] })
  const c: OpCase = { op: qkNormBackward, args, inputs, outputs: { gradX: rows * dim }, again, hidden }
  // a number by itself over its size is ±1: its gradient is 0, and a plain evaluation finds just that
  return kind === 'l2' && dim === 1 ? c : { ...c, plain: order => plainQkNorm(c, order) }
}

const f = Math.fround

function plainQkNorm(c: OpCase, order: Order): Record<string, Float32Array> {
  const out = plainOutputs(c)
  const { rows, dim, kind, eps } = c.args as QkNormArgs
  const { x, gradY } = c.inputs
  for (let row = 0; row < rows; row++) {
    const at = row * dim
    const squares = plainSum(order, dim, d => f(x[at + d] * x[at + d]))
    const norm = f(Math.sqrt(squares))
    const r = kind === 'l2' ? Math.max(norm, f(eps)) : f(Math.sqrt(f(f(squares / dim) + f(eps))))
    const unit = (d: number) => f(x[at + d] / r)
    let along = 0
    if (gradY && (kind === 'rms' || norm > eps)) {
      along = plainSum(order, dim, d => f(unit(d) * gradY[at + d]))
    }
    if (kind === 'rms') along = f(along / dim)
    for (let d = 0; d < dim; d++) {
      if (out.y) out.y[at + d] = unit(d)
      else out.gradX[at + d] = f(f(gradY[at + d] - f(unit(d) * along)) / r)
    }
  }
  return out
}

export const cases = qkNormSpecs.map(qkNormCase)

const x = new Float64Array(0)
const nothing: QkNormArgs = { rows: 0, dim: 7, kind: 'l2', eps: 1e-12 }
export const empty: OpCase[] = [
  { op: qkNormForward, args: nothing, inputs: { x }, outputs: { y: 0 } },
  { op: qkNormBackward, args: nothing, inputs: { x, gradY: x }, outputs: { gradX: 0 } },
]
