import * as fc from 'fast-check'
import { given, type Inputs, type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import { FIGURE_COUNT, gradientRow, headFigures, rolloutRow, topKeys } from './op.ts'

interface Sizes {
  batch: number
  heads: number
  positions: number
  seed: number
}

function all({ batch, heads, positions, seed }: Sizes): OpCase[] {
  const random = randomTensors(seed)
  const args = { batch, heads, positions }
  const rows = batch * positions
  const weights = random(heads * rows * positions).map(value => (value < -0.5 ? 0 : Math.abs(value)))
  const flags = (shift: number) =>
    Int32Array.from({ length: rows }, (_, at) => Number((seed + at + shift) % 3 > 0))
  const ids = Int32Array.from({ length: rows }, (_, at) => (seed + at * at) % 4)
  const chosen = Int32Array.from({ length: batch }, (_, b) => (seed + b) % Math.max(1, positions))
  const top = Math.min(1 + (seed % 3), positions)
  return [
    {
      op: headFigures,
      args,
      inputs: { weights, ids, real: flags(0), special: flags(1) },
      outputs: { figures: heads * FIGURE_COUNT },
    },
    {
      op: topKeys,
      args: { rows: heads * rows, keys: positions, top },
      inputs: { weights },
      outputs: { indices: heads * rows * top, strongest: heads * rows * top },
    },
    { op: rolloutRow, args, inputs: { weights, v: random(rows) }, outputs: { y: rows } },
    {
      op: gradientRow,
      args,
      inputs: {
        weights,
        gradients: random(weights.length),
        chosen,
        ...given({ sum: seed % 2 === 0 && random(rows) }),
      } as Inputs,
      outputs: { y: rows },
    },
  ]
}

const size = (...values: number[]) => fc.constantFrom(...values)

export const cases = fc
  .record({ batch: size(1, 2), heads: size(1, 3), positions: size(1, 4, 9), seed: fc.nat({ max: 1 << 20 }) })
  .chain(sizes => fc.constantFrom(...all(sizes)))

export const empty: OpCase[] = all({ batch: 0, heads: 2, positions: 3, seed: 2 })
