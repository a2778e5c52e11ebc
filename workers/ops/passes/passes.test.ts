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
import { gatherRows as plainGather } from './reference.ts'

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
