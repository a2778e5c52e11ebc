import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { randomTensors } from '../../../test/support/op-case.ts'
import { RUNNERS } from '../../../test/support/op-runner.ts'
import { wasmMemory } from '../../../test/support/wasm-memory.ts'
import { SimdModule } from '../../wasm/simd-module.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../../wasm/variants.ts'
import { CALL_BYTES } from '../define-op.ts'
import { orders, passesCase, passesSpecs } from './cases.ts'
import { gatherRows } from './op.ts'
import { gatherRows as plainGather, sumParts } from './reference.ts'

const [, plain, ...variants] = RUNNERS

describe.each(variants)('$name kernels', ({ run }) => {
  it('gather rows and add parts up as the plain ones do, to the last bit', () => {
    const specs = passesSpecs.filter(({ op }) => op !== 'mergeParts')
    fc.assert(
      fc.property(specs, spec => {
        const c = passesCase(spec)
        expect(run(c, {}).outputs).toEqual(plain.run(c, {}).outputs)
      }),
      { numRuns: 80 },
    )
  })
})

describe.each(Object.keys(SIMD_VARIANTS) as SimdVariant[])('%s kernels', variant => {
  it('gather rows of float64 too', () => {
    const wasm = wasmMemory(1)
    const [parts, heads, rows] = [3, 2, 17]
    for (const dim of [1, 3, 4, 11]) {
      wasm.reset()
      const args = { parts, heads, rows, dim }
      const x = wasm.allocate('float64', heads * rows * dim)
      x.set(randomTensors(dim)(x.length))
      const order = wasm.allocate('int32', parts * heads * rows)
      order.set(orders(parts * heads, rows, dim))
      const y = wasm.allocate('float64', parts * heads * rows * dim)
      const units = gatherRows.units(args)
      new SimdModule(wasm.memory, variant).kernel(gatherRows)(
        { x, order, y },
        args,
        0,
        units,
        wasm.scratch(CALL_BYTES),
      )
      const expected = new Float64Array(y.length)
      plainGather({ x, order, y: expected }, args, 0, units)
      expect(y).toEqual(expected)
    }
  })
})

describe('two passes over two heads of three rows', () => {
  const args = { parts: 2, heads: 2, rows: 3, dim: 2 }
  // the orders of the first pass, head by head, and of the second
  const order = Int32Array.of(2, 0, 1, 0, 1, 2, 1, 2, 0, 2, 1, 0)
  // where each row stands in them
  const ranks = Int32Array.of(1, 2, 0, 0, 1, 2, 2, 0, 1, 2, 1, 0)
  // row i of head h holds [10·h + i, −(10·h + i)]
  const places = [2, 0, 1, 10, 11, 12, 1, 2, 0, 12, 11, 10]

  it('are gathered in their orders', () => {
    const x = Float64Array.from([0, 1, 2, 10, 11, 12].flatMap(value => [value, -value]))
    const y = new Float64Array(24)
    plainGather({ x, order, y }, args, 0, 12)
    expect(Array.from(y)).toEqual(places.flatMap(value => [value, -value]))
  })

  it('are added up, each row to its own', () => {
    // what stands at a place is the row that the order puts there; the second pass counts a hundredfold
    const x = Float64Array.from(places.flatMap((value, at) => [at < 6 ? value : 100 * value, 1]))
    const y = new Float64Array(12).fill(Number.NaN)
    sumParts({ x, ranks, y }, args, 0, 6)
    expect(Array.from(y)).toEqual([0, 1, 2, 10, 11, 12].flatMap(value => [101 * value, 2]))
  })

  it('are written row by row', () => {
    const y = new Float64Array(24).fill(7)
    plainGather({ x: new Float64Array(12), order, y }, args, 4, 6)
    expect(Array.from(y)).toEqual(Array.from(y, (_, i) => (i >= 8 && i < 12 ? 0 : 7)))
    const sums = new Float64Array(12).fill(7)
    sumParts({ x: new Float64Array(24).fill(1), ranks, y: sums }, args, 1, 3)
    expect(Array.from(sums)).toEqual([7, 7, 2, 2, 2, 2, 7, 7, 7, 7, 7, 7])
  })
})
