/** Orders against the formulas of op.ts, asked row by row. */
import { describe, expect, it } from 'vitest'
import { headOrder } from './kernel.ts'

const lengths = [0, 3, 1, 0, 2, 0]
const offsets = Int32Array.from([0, 0, 3, 4, 4, 6, 6])
const sizes = { sequences: lengths.length, positions: 6, heads: 2 }

function orderOf(form: 'toHeads' | 'toPositions' | 'toRows'): number[] {
  const order = new Int32Array(12)
  headOrder({ offsets, order }, { form, ...sizes }, 0, 6)
  return [...order]
}

describe('the order of heads', () => {
  it('takes the rows of a sequence head by head', () => {
    expect(orderOf('toHeads')).toEqual([0, 2, 4, 1, 3, 5, 6, 7, 8, 10, 9, 11])
  })

  it('goes back, to positions first and to heads of all positions', () => {
    const headsFirst = orderOf('toHeads')
    expect(orderOf('toPositions').map(at => headsFirst[at])).toEqual([...headsFirst.keys()])
    const rows = orderOf('toRows').map(at => headsFirst[at])
    expect(rows).toEqual([0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11])
  })

  it('is that of equal lengths without offsets', () => {
    const order = new Int32Array(12)
    headOrder({ order }, { form: 'toHeads', sequences: 2, positions: 6, heads: 2 }, 0, 6)
    expect([...order]).toEqual([0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11])
  })
})
