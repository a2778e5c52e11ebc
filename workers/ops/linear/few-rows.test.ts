/** A row's bits are its own: the same whether it is multiplied alone, among a few, or among enough that the weight is packed. */
import { describe, expect, it } from 'vitest'
import { randomTensors } from '../../../test/support/op-case.ts'
import { RUNNERS } from '../../../test/support/op-runner.ts'
import { FEW_ROWS, type LinearArgs, linearBackwardInput, linearForward, THIN_ROWS } from './op.ts'

/** Depths of one chunk and of several, whole registers and a bit; heads of which a register spans two. */
const SHAPES = [
  { dimIn: 7, dimOut: 5, headsIn: 1, headsOut: 1 },
  { dimIn: 301, dimOut: 69, headsIn: 7, headsOut: 1 },
  { dimIn: 70, dimOut: 610, headsIn: 1, headsOut: 5 },
  { dimIn: 600, dimOut: 94, headsIn: 1, headsOut: 1 },
]
const COUNTS = [1, 2, FEW_ROWS, FEW_ROWS + 1, 13, THIN_ROWS, THIN_ROWS + 1]

describe.each(RUNNERS.filter(({ wasm }) => wasm))('$name', runner => {
  it.each(SHAPES)('from $dimIn to $dimOut', shape => {
    const random = randomTensors(7)
    const { dimIn, dimOut } = shape
    const most = Math.max(...COUNTS)
    // a sequence of one position each: heads of a row stand behind one another
    const [x, weight, bias, residual] = [
      random(most * dimIn),
      random(dimIn * dimOut),
      random(dimOut),
      random(most * dimOut),
    ]
    x.fill(0, 0, dimIn)
    const forward = (rows: number, more: object) => {
      const args: LinearArgs = { batch: rows, positions: 1, ...shape }
      const inputs = { x: x.slice(0, rows * dimIn), weight, ...more }
      return runner.run({ op: linearForward, args, inputs, outputs: { y: rows * dimOut } }, {}).outputs.y
    }
    const backward = (rows: number) => {
      const args: LinearArgs = { batch: rows, positions: 1, ...shape }
      const inputs = { gradY: residual.slice(0, rows * dimOut), weight }
      const c = { op: linearBackwardInput, args, inputs, outputs: { gradX: rows * dimIn } }
      return runner.run(c, {}).outputs.gradX
    }
    const added = (rows: number) => ({ bias, residual: residual.slice(0, rows * dimOut) })
    const [plain, whole, gradient] = [forward(most, {}), forward(most, added(most)), backward(most)]
    for (const rows of COUNTS) {
      expect(Object.is(forward(rows, {})[0], plain[0])).toBe(true)
      expect(forward(rows, {})).toEqual(plain.subarray(0, rows * dimOut))
      expect(forward(rows, added(rows))).toEqual(whole.subarray(0, rows * dimOut))
      expect(backward(rows)).toEqual(gradient.subarray(0, rows * dimIn))
    }
  })
})
