/** What every kernel set must do for layers, whatever its precision: run over the reference and every SIMD variant. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { KernelSet } from '../../../workers/kernels/kernel-set.ts'
import { referenceKernels } from '../../../workers/kernels/reference/index.ts'
import { createSimdKernels, SIMD_VARIANTS, type SimdVariant } from '../../../workers/kernels/simd/index.ts'
import { ELEMENT_BLOCK, NORM_ROWS } from '../../../workers/layer-args.ts'
import {
  activationSpecs,
  buildLayerCase,
  type LayerCase,
  layerScratchBytes,
  layerSpecs,
  linearSpecs,
  normSpecs,
  runLayer,
} from './layer-case.ts'
import { wasmMemory } from './simd/wasm-memory.ts'

const wasm = wasmMemory(64)

interface Runner {
  name: string
  run(c: LayerCase, cuts?: number): Record<string, Float64Array | Float32Array>
}

function simdRunner(name: SimdVariant): Runner {
  const kernels: KernelSet = createSimdKernels(wasm.memory, name)
  const run: Runner['run'] = (c, cuts) => {
    wasm.reset()
    const scratch = wasm.scratch(layerScratchBytes(c))
    return runLayer(kernels, c, { precision: 'float32', allocate: wasm.allocate, scratch, cuts })
  }
  return { name, run }
}

const RUNNERS: Runner[] = [
  { name: 'reference', run: (c, cuts) => runLayer(referenceKernels, c, { cuts }) },
  ...(Object.keys(SIMD_VARIANTS) as SimdVariant[]).map(simdRunner),
]

function copied(outputs: Record<string, Float64Array | Float32Array>): Record<string, number[]> {
  return Object.fromEntries(Object.entries(outputs).map(([name, values]) => [name, Array.from(values)]))
}

describe.each(RUNNERS)('$name kernels of layers', ({ run }) => {
  it('write every element of their outputs', () => {
    fc.assert(
      fc.property(layerSpecs, spec => {
        for (const [name, values] of Object.entries(run(buildLayerCase(spec)))) {
          expect(values.some(Number.isNaN), name).toBe(false)
        }
      }),
      { numRuns: 150 },
    )
  })

  it('give the same bits however the range is cut', () => {
    fc.assert(
      fc.property(layerSpecs, fc.integer({ min: 1, max: 1000 }), (spec, cuts) => {
        const c = buildLayerCase(spec)
        const whole = copied(run(c))
        expect(copied(run(c, cuts))).toEqual(whole)
      }),
      { numRuns: 150 },
    )
  })

  it('a product summed over padding rows does not see what stands in them', () => {
    fc.assert(
      fc.property(linearSpecs, fc.array(fc.nat(), { maxLength: 4 }), (spec, picks) => {
        const c = buildLayerCase({ ...spec, op: 'linearBackwardWeight', careful: true })
        const rows = spec.batch * spec.positions
        const fill = (name: 'x' | 'gradY', heads: number, width: number, row: number, value: number) => {
          const [b, position] = [Math.floor(row / spec.positions), row % spec.positions]
          for (let head = 0; head < heads; head++) {
            const at = ((b * heads + head) * spec.positions + position) * width
            c.inputs[name].fill(value, at, at + width)
          }
        }
        const padding = picks.map(pick => pick % rows)
        for (const row of padding) {
          fill('gradY', spec.headsOut, spec.widthOut, row, 0)
          fill('x', spec.headsIn, spec.widthIn, row, 0)
        }
        const clean = copied(run(c))
        for (const row of padding) fill('x', spec.headsIn, spec.widthIn, row, Number.NaN)
        expect(copied(run(c))).toEqual(clean)
      }),
      { numRuns: 60 },
    )
  })

  it('a norm passes nothing back to a row whose gradient is zero, even where it holds NaN', () => {
    fc.assert(
      fc.property(normSpecs, fc.nat(), (spec, pick) => {
        const c = buildLayerCase({ ...spec, op: 'normBackward' })
        const row = pick % spec.rows
        const [begin, end] = [row * spec.dim, (row + 1) * spec.dim]
        c.inputs.gradY.fill(0, begin, end)
        const clean = copied(run(c))
        c.inputs.x.fill(Number.NaN, begin, end)
        const outputs = copied(run(c))
        expect(outputs).toEqual(clean)
        expect(outputs.gradX.slice(begin, end)).toEqual(
          c.inputs.residual ? Array.from(c.inputs.residual.subarray(begin, end)) : Array(spec.dim).fill(0),
        )
        const unit = Math.floor(row / NORM_ROWS)
        if (spec.rows === 1 && outputs.partialGamma) {
          expect(outputs.partialGamma.slice(unit * spec.dim)).toEqual(Array(spec.dim).fill(0))
        }
      }),
      { numRuns: 100 },
    )
  })

  it('an activation passes nothing back where the gradient is zero, even where x is NaN', () => {
    fc.assert(
      fc.property(activationSpecs, fc.nat(), (spec, pick) => {
        const c = buildLayerCase({ ...spec, op: 'activationBackward' })
        const at = pick % spec.count
        c.inputs.gradY[at] = 0
        c.inputs.x[at] = Number.NaN
        if (c.inputs.gate) c.inputs.gate[at] = Number.NaN
        for (const values of Object.values(run(c))) expect(values[at]).toBe(0)
      }),
      { numRuns: 100 },
    )
  })

  it('an activation of NaN is NaN, and its neighbours are what they were', () => {
    fc.assert(
      fc.property(activationSpecs, fc.nat(), (spec, pick) => {
        const c = buildLayerCase({ ...spec, op: 'activationForward' })
        const clean = copied(run(c)).y
        const at = pick % spec.count
        c.inputs.x[at] = Number.NaN
        clean[at] = Number.NaN
        expect(copied(run(c)).y).toEqual(clean)
      }),
      { numRuns: 50 },
    )
  })

  it('keep the same elements in dropout as attention does, whatever the set', () => {
    const [rows, dim] = [37, 29]
    const x = new Float64Array(rows * dim).fill(1)
    const args = { rows, dim, p: 0.3, seedLow: 17, seedHigh: 4 }
    const c: LayerCase = { op: 'dropoutRows', args, units: rows, inputs: { x }, outputs: { y: x.length } }
    const kept = Array.from(run(c).y, value => value !== 0)
    expect(kept).toEqual(Array.from(RUNNERS[0].run(c).y, value => value !== 0))
    expect(kept.filter(Boolean).length / kept.length).toBeCloseTo(0.7, 1)
  })

  it('add a repeated row across the blocks of a unit', () => {
    const [period, count] = [7, 2 * ELEMENT_BLOCK + 5]
    const [a, b] = [new Float64Array(count), Float64Array.from({ length: period }, (_, i) => i)]
    const c: LayerCase = {
      ...{ op: 'add', args: { count, period }, units: 3 },
      ...{ inputs: { a, b }, outputs: { y: count } },
    }
    expect(Array.from(run(c).y)).toEqual(Array.from(a, (_, i) => i % period))
  })
})
