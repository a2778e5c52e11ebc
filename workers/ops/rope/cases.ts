import * as fc from 'fast-check'
import { type OpCase, plainOutputs, randomTensors } from '../../../test/support/op-case.ts'
import { type RopeArgs, ropeBackward, ropeForward } from './op.ts'

export interface RopeSpec {
  backward: boolean
  heads: number
  /** each with rows of its own in the table */
  batch: number
  positions: number
  /** in the place of each row */
  alike: number
  /** of the rotated part, in pairs, and what follows it */
  pairs: number
  rest: number
  interleaved: boolean
  seed: number
}

const sizes = (...values: number[]) => fc.constantFrom(...values)

export const ropeSpecs: fc.Arbitrary<RopeSpec> = fc.record({
  backward: fc.boolean(),
  heads: sizes(1, 2, 3),
  batch: sizes(1, 1, 3),
  positions: sizes(1, 3, 17),
  alike: sizes(1, 1, 4),
  pairs: sizes(1, 3, 7, 8, 17, 32),
  rest: sizes(0, 0, 1, 5),
  interleaved: fc.boolean(),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
})

export function ropeCase(spec: RopeSpec): OpCase {
  const { heads, batch, positions, alike, pairs, rest, interleaved } = spec
  const [rows, dim, dims] = [batch * heads * positions * alike, 2 * pairs + rest, 2 * pairs]
  const random = randomTensors(spec.seed)
  const angles = random(batch * positions * pairs, 3)
  const table = {
    cos: angles.map(x => Math.fround(Math.cos(x))),
    sin: angles.map(x => Math.fround(Math.sin(x))),
  }
  const args: RopeArgs = { rows, heads, positions, alike, dim, dims, interleaved }
  const again = (seed: number) => ropeCase({ ...spec, seed })
  const x = random(rows * dim)
  const c: OpCase = spec.backward
    ? { op: ropeBackward, args, inputs: { gradY: x, ...table }, outputs: { gradX: rows * dim }, again }
    : { op: ropeForward, args, inputs: { x, ...table }, outputs: { y: rows * dim }, again }
  return { ...c, plain: () => plainRope(c) }
}

const f = Math.fround

function plainRope(c: OpCase): Record<string, Float32Array> {
  const out = plainOutputs(c)
  const { rows, heads, positions, alike, dim, dims, interleaved } = c.args as RopeArgs
  const [x, y] = c.op === ropeForward ? [c.inputs.x, out.y] : [c.inputs.gradY, out.gradX]
  const turn = c.op === ropeForward ? 1 : -1
  for (let row = 0; row < rows; row++) {
    const at = row * dim
    for (let d = dims; d < dim; d++) y[at + d] = x[at + d]
    for (let j = 0; j < dims / 2; j++) {
      const [a, b] = interleaved ? [at + 2 * j, at + 2 * j + 1] : [at + j, at + j + dims / 2]
      const same = Math.floor(row / alike)
      const tableRow = Math.floor(same / (heads * positions)) * positions + (same % positions)
      const entry = tableRow * (dims / 2) + j
      const [cos, sin] = [c.inputs.cos[entry], turn * c.inputs.sin[entry]]
      y[a] = f(f(x[a] * cos) - f(x[b] * sin))
      y[b] = f(f(x[a] * sin) + f(x[b] * cos))
    }
  }
  return out
}

export const cases = ropeSpecs.map(ropeCase)

const none = new Float64Array(0)
const nothing: RopeArgs = { rows: 0, heads: 2, positions: 0, alike: 1, dim: 6, dims: 4, interleaved: false }
const table = { cos: none, sin: none }
export const empty: OpCase[] = [
  { op: ropeForward, args: nothing, inputs: { x: none, ...table }, outputs: { y: 0 } },
  { op: ropeBackward, args: nothing, inputs: { gradY: none, ...table }, outputs: { gradX: 0 } },
]
