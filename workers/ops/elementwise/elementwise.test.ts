import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { expectClose, expectSame } from '../../../test/support/differences.ts'
import type { OpCase } from '../../../test/support/op-case.ts'
import { RUNNERS, truthOf } from '../../../test/support/op-runner.ts'
import { dropoutBits, dropoutKeys } from '../dropout.ts'
import { elementwiseCase, elementwiseSpecs } from './cases.ts'
import { concatBackward, concatForward } from './kernel.ts'
import { add, COLUMN_BLOCK, dropoutRows, ELEMENT_BLOCK } from './op.ts'
import * as reference from './reference.ts'

describe('sums, additions and dropout of rows', () => {
  const specs = elementwiseSpecs.filter(
    ({ op }) => op === 'columnSums' || op === 'add' || op === 'dropoutRows',
  )

  it('over random sizes', () => {
    fc.assert(
      fc.property(specs, spec => {
        const c = elementwiseCase(spec)
        const { y } = truthOf(c)
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
            Array.from(a, (value, i) => value + b[i % b.length]),
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

  it('add a repeated row to the elements of a unit, and to no others', () => {
    const [period, count] = [7, 2 * ELEMENT_BLOCK + 5]
    const [a, b] = [new Float64Array(count).fill(10), Float64Array.from({ length: period }, (_, i) => i)]
    for (const [unit, begin, end] of [
      [0, 0, ELEMENT_BLOCK],
      [1, ELEMENT_BLOCK, 2 * ELEMENT_BLOCK],
      [2, 2 * ELEMENT_BLOCK, count],
    ]) {
      const y = new Float64Array(count + 5).fill(-1)
      reference.add({ a, b, y }, { count, period }, unit, unit + 1)
      expectSame(
        y,
        Array.from(y, (_, i) => (i >= begin && i < end ? 10 + (i % period) : -1)),
      )
    }
  })

  it('sum columns of wide heads block by block', () => {
    // blocks of columns end within heads, and reach over their ends
    const [batch, heads, positions, width] = [2, 3, 2, COLUMN_BLOCK + 37]
    const columns = heads * width
    // element j of head h at position p of batch b: its column, and 1000·(2·b + p) beside it
    const x = Float64Array.from({ length: batch * positions * columns }, (_, i) => {
      const [row, j] = [Math.floor(i / width), i % width]
      const [p, h, b] = [
        row % positions,
        Math.floor(row / positions) % heads,
        Math.floor(row / positions / heads),
      ]
      return h * width + j + 1000 * (2 * b + p)
    })
    for (let unit = 0; unit * COLUMN_BLOCK < columns; unit++) {
      const y = new Float64Array(columns).fill(-1)
      reference.columnSums({ x, y }, { batch, heads, positions, width }, unit, unit + 1)
      const [begin, end] = [unit * COLUMN_BLOCK, Math.min((unit + 1) * COLUMN_BLOCK, columns)]
      expect(Array.from(y)).toEqual(
        Array.from(y, (_, i) => (i >= begin && i < end ? 4 * i + 1000 * (0 + 1 + 2 + 3) : -1)),
      )
    }
  })

  it('drop just the elements whose random bits say so, and keep NaN', () => {
    const [rows, dim, p] = [3, 11, 0.4]
    const seed = { seedLow: 17, seedHigh: 4 }
    const x = Float64Array.from({ length: rows * dim }, (_, i) => i + 1)
    x[17] = Number.NaN
    const y = new Float64Array(rows * dim).fill(-1)
    reference.dropoutRows({ x, y }, { rows, dim, p, ...seed }, 1, 2)
    const right = Array.from(x, (value, i) => {
      const row = Math.floor(i / dim)
      if (row !== 1) return -1
      const kept = dropoutBits(dropoutKeys(seed, row), i % dim) >= Math.floor(p * 2 ** 32)
      return (kept ? 1 / (1 - p) : 0) * value
    })
    expect(right.filter(value => value === 0).length).toBeGreaterThan(1)
    expect(Array.from(y)).toEqual(right)
    // an element whose bits are just the threshold is kept
    const bits = dropoutBits(dropoutKeys(seed, 2), 4)
    reference.dropoutRows({ x, y }, { rows, dim, p: bits / 2 ** 32, ...seed }, 2, 3)
    expect(y[2 * dim + 4]).toBeGreaterThan(0)
    const whole = new Float64Array(rows * dim)
    reference.dropoutRows({ x, y: whole }, { rows, dim, p: 0, ...seed }, 0, 3)
    expect(whole).toEqual(x)
  })

  describe.each(RUNNERS)('$name', ({ run }) => {
    it('keep the same elements in dropout, about as many as they should', () => {
      const [rows, dim] = [37, 29]
      const x = new Float64Array(rows * dim).fill(1)
      const args = { rows, dim, p: 0.3, seedLow: 17, seedHigh: 4 }
      const c: OpCase = { op: dropoutRows, args, inputs: { x }, outputs: { y: x.length } }
      const kept = Array.from(run(c, {}).outputs.y, value => value !== 0)
      expect(kept).toEqual(Array.from(truthOf(c).y, value => value !== 0))
      expect(kept.filter(Boolean).length / kept.length).toBeCloseTo(0.7, 1)
    })

    it('add a repeated row across the blocks of a unit', () => {
      const [period, count] = [7, 2 * ELEMENT_BLOCK + 5]
      const [a, b] = [new Float64Array(count), Float64Array.from({ length: period }, (_, i) => i)]
      const c: OpCase = { op: add, args: { count, period }, inputs: { a, b }, outputs: { y: count } }
      expect(Array.from(run(c, {}).outputs.y)).toEqual(Array.from(a, (_, i) => i % period))
    })
  })
})

describe('the past before the new', () => {
  const args = { heads: 2, past: 2, positions: 1, dim: 2 }
  const [past, x] = [Float64Array.of(1, 2, 3, 4, 5, 6, 7, 8), Float64Array.of(10, 20, 30, 40)]

  it('forward', () => {
    const y = new Float64Array(12)
    concatForward({ past, x, y }, args, 1, 2)
    concatForward({ past, x, y }, args, 0, 1)
    expect(Array.from(y)).toEqual([1, 2, 3, 4, 10, 20, 5, 6, 7, 8, 30, 40])
  })

  it('backward', () => {
    const gradY = Float64Array.of(1, 2, 3, 4, 10, 20, 5, 6, 7, 8, 30, 40)
    const [gradPast, gradX] = [new Float64Array(8), new Float64Array(4)]
    concatBackward({ gradY, gradPast }, args, 0, 2)
    concatBackward({ gradY, gradX }, args, 0, 2)
    expect(gradPast).toEqual(past)
    expect(gradX).toEqual(x)
  })

  it('may be empty', () => {
    const y = new Float64Array(4)
    concatForward({ past: new Float64Array(0), x, y }, { ...args, past: 0 }, 0, 2)
    expect(y).toEqual(x)
  })
})
