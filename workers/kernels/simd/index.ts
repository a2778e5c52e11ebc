/** The float32 kernels that are not in the list of `ops/` yet. */
import type { LinearAttentionArgs } from '../../linear-attention-args.ts'
import { SimdModule } from '../../wasm/simd-module.ts'
import type { SimdVariant } from '../../wasm/variants.ts'
import { elementwiseKernels } from '../elementwise/index.ts'
import type { KernelSet } from '../kernel-set.ts'
import { type AttentionTensors, writeCall } from './call.ts'
import { type LinearTensors, writeLinearCall } from './linear-attention-call.ts'

export { SIMD_VARIANTS, type SimdVariant } from '../../wasm/variants.ts'

type LinearName =
  | 'linearStates'
  | 'linearAttentionForward'
  | 'linearAttentionDelta'
  | 'linearAttentionBackwardQuery'
  | 'linearAttentionBackwardKey'

export function createSimdKernels(memory: WebAssembly.Memory, variant: SimdVariant): KernelSet {
  return simdKernels(new SimdModule(memory, variant))
}

export function simdKernels(simd: SimdModule): KernelSet {
  const { memory } = simd
  const attention = (name: keyof KernelSet): KernelSet['attentionMaskGradient'] => {
    const run = simd.export(name)
    return (t, a, from, to, scratch) => {
      const { place } = writeCall(memory, scratch, t as AttentionTensors, a)
      run(scratch, scratch + place, from, to)
    }
  }
  const linear = <N extends LinearName>(name: N): KernelSet[N] => {
    const wasm = simd.export(name)
    const run = (t: object, a: LinearAttentionArgs, from: number, to: number, scratch: number) => {
      writeLinearCall(memory, scratch, t as LinearTensors, a)
      wasm(scratch, from, to)
    }
    return run as KernelSet[N]
  }
  return {
    ...elementwiseKernels,
    attentionForward: attention('attentionForward') as KernelSet['attentionForward'],
    attentionMaps: attention('attentionMaps') as unknown as KernelSet['attentionMaps'],
    attentionBackward: attention('attentionBackward') as unknown as KernelSet['attentionBackward'],
    attentionMaskGradient: attention('attentionMaskGradient'),
    linearStates: linear('linearStates'),
    linearAttentionForward: linear('linearAttentionForward'),
    linearAttentionDelta: linear('linearAttentionDelta'),
    linearAttentionBackwardQuery: linear('linearAttentionBackwardQuery'),
    linearAttentionBackwardKey: linear('linearAttentionBackwardKey'),
  }
}
