/**
 * GFLOP/s of the float32 kernels on one core, by shape and variant; short runs, best of several. Only attended pairs
 * count: 2·(d_k + d_v) operations each forward, 2·(3·d_k + 2·d_v) backward.
 */

import { attentionBackward, attentionForward } from '../workers/ops/attention/op.ts'
import { scratchBytes } from '../workers/ops/define-op.ts'
import { SimdModule } from '../workers/wasm/simd-module.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../workers/wasm/variants.ts'
import { attentionArgs, KernelMemory } from './kernel-operands.ts'
import { benchMaps } from './maps.ts'
import { table } from './report.ts'
import { bestSeconds } from './timing.ts'

const SHAPES = [
  [128, 64],
  [512, 64],
  [1024, 64],
  [2048, 64],
  [1024, 128],
  [1000, 50],
]
const HEADS = 1

const operands = new KernelMemory(2048)

/** A row per shape and variant. */
export function benchKernels(): void {
  const rows: string[][] = []
  for (const [n, d] of SHAPES) {
    operands.reset()
    const size = HEADS * n * d
    const args = attentionArgs(HEADS, n, d)
    const whole = { ...args, parts: 1 }
    const scratch = operands.tensor(scratchBytes(attentionForward, args) / 4).byteOffset
    const [q, k, v, output, gradOutput] = [1, 2, 3, 4, 5].map(() => operands.tensor(size))
    const [gradQ, gradK, gradV] = [1, 2, 3].map(() => operands.tensor(size))
    const [denominator, logsumexp] = [operands.doubles(2 * HEADS * n), operands.doubles(HEADS * n)]
    const delta = operands.tensor(HEADS * n)
    const intervals = operands.causal(n)
    for (const name of Object.keys(SIMD_VARIANTS) as SimdVariant[]) {
      const simd = new SimdModule(operands.memory, name)
      const [forwardKernel, backwardKernel] = [simd.kernel(attentionForward), simd.kernel(attentionBackward)]
      const speeds = [false, true].flatMap(causal => {
        const pairs = HEADS * (causal ? (n * (n + 1)) / 2 : n * n)
        const rows = { denominator, logsumexp }
        const forward = { q, k, v, output, ...rows, intervals: causal ? intervals : undefined }
        const backward = { ...forward, gradOutput, delta, gradQ, gradK, gradV }
        const seconds = [
          bestSeconds(() => forwardKernel(forward, args, 0, attentionForward.units(args), scratch)),
          bestSeconds(() => backwardKernel(backward, whole, 0, attentionBackward.units(whole), scratch)),
        ]
        return [(4 * d * pairs) / seconds[0], (10 * d * pairs) / seconds[1]]
      })
      rows.push([`N ${n}, d ${d}`, name, ...speeds.map(speed => (speed / 1e9).toFixed(1))])
    }
  }
  console.log(table(['shape', 'variant', 'forward', 'backward', 'causal forward', 'causal backward'], rows))
  benchMaps()
}
