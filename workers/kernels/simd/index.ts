/**
 * The float32 kernels: AssemblyScript compiled to WebAssembly, working in place on the shared memory.
 *
 * An instance holds nothing: every call brings its own scratch memory, so any number of workers may share the tensors.
 */
import { readFileSync } from 'node:fs'
import type { LinearAttentionArgs } from '../../linear-attention-args.ts'
import { elementwiseKernels } from '../elementwise/index.ts'
import type { KernelSet } from '../kernel-set.ts'
import { type AttentionTensors, writeCall } from './call.ts'
import { type LayerExports, layerKernels } from './layers.ts'
import { type LinearExports, linearKernels } from './linear.ts'
import { type LinearTensors, writeLinearCall } from './linear-attention-call.ts'
import { type PassExports, passKernels } from './passes.ts'
import { moduleFile, type SimdVariant } from './variants.ts'

export { SIMD_VARIANTS, type SimdVariant } from './variants.ts'

type AttentionExport = (call: number, place: number, from: number, to: number) => void

/** What `assembly/index.ts` exports. */
type Exports = Record<
  'attentionForward' | 'attentionMaps' | 'attentionBackward' | 'attentionMaskGradient',
  AttentionExport
> &
  LinearExports &
  LayerExports &
  PassExports &
  Record<LinearName, (call: number, from: number, to: number) => void>

type LinearName =
  | 'linearStates'
  | 'linearAttentionForward'
  | 'linearAttentionDelta'
  | 'linearAttentionBackwardQuery'
  | 'linearAttentionBackwardKey'

/** Reads the variant's module (built by `scripts/build-kernels.ts`) and binds it to the memory that holds the tensors. */
export function createSimdKernels(memory: WebAssembly.Memory, variant: SimdVariant): KernelSet {
  const module = new WebAssembly.Module(readFileSync(moduleFile(variant)))
  const wasm = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports

  const attention = (run: AttentionExport): KernelSet['attentionMaskGradient'] => {
    return (t, a, from, to, scratch) => {
      const { place } = writeCall(memory, scratch, t as AttentionTensors, a)
      run(scratch, scratch + place, from, to)
    }
  }
  const linear = <N extends LinearName>(name: N): KernelSet[N] => {
    const run = (t: object, a: LinearAttentionArgs, from: number, to: number, scratch: number) => {
      writeLinearCall(memory, scratch, t as LinearTensors, a)
      wasm[name](scratch, from, to)
    }
    return run as KernelSet[N]
  }
  return {
    ...elementwiseKernels,
    ...linearKernels(wasm),
    ...passKernels(wasm),
    ...layerKernels(wasm),
    attentionForward: attention(wasm.attentionForward) as KernelSet['attentionForward'],
    attentionMaps: attention(wasm.attentionMaps) as unknown as KernelSet['attentionMaps'],
    attentionBackward: attention(wasm.attentionBackward) as unknown as KernelSet['attentionBackward'],
    attentionMaskGradient: attention(wasm.attentionMaskGradient),
    linearStates: linear('linearStates'),
    linearAttentionForward: linear('linearAttentionForward'),
    linearAttentionDelta: linear('linearAttentionDelta'),
    linearAttentionBackwardQuery: linear('linearAttentionBackwardQuery'),
    linearAttentionBackwardKey: linear('linearAttentionBackwardKey'),
  }
}
