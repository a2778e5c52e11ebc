import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { createSimdKernels, SIMD_VARIANTS, type SimdVariant } from '../../../../workers/kernels/simd/index.ts'
import { buildLayerCase, layerScratchBytes, linearSpecs, runLayer } from '../layer-case.ts'
import { wasmMemory } from './wasm-memory.ts'

const GUARD = 4096

it.each(Object.keys(SIMD_VARIANTS) as SimdVariant[])(
  '%s products keep to the scratch memory they asked for',
  variant => {
    const wasm = wasmMemory(32)
    const kernels = createSimdKernels(wasm.memory, variant)
    fc.assert(
      fc.property(linearSpecs, spec => {
        wasm.reset()
        const c = buildLayerCase({ ...spec, careful: true })
        const bytes = layerScratchBytes(c)
        const scratch = wasm.scratch(bytes + GUARD)
        runLayer(kernels, c, { precision: 'float32', allocate: wasm.allocate, scratch })
        const guard = new Uint8Array(wasm.memory.buffer, scratch + bytes, GUARD)
        expect(guard.every(byte => byte === 0xff)).toBe(true)
      }),
      { numRuns: 60 },
    )
  },
)
