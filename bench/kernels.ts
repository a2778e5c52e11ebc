/**
 * GFLOP/s of the float32 kernels on one core, by shape and variant; short runs, best of several. Only attended pairs
 * count: 2·(d_k + d_v) operations each forward, 2·(3·d_k + 2·d_v) backward.
 */

import { createSimdKernels, SIMD_VARIANTS, type SimdVariant } from '../workers/kernels/simd/index.ts'
import { scratchBytes } from '../workers/kernels/simd/scratch.ts'
import { KEY_BLOCK, QUERY_TILE } from '../workers/layout.ts'
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
    const scratch = operands.tensor(scratchBytes(d, d) / 4).byteOffset
    const [q, k, v, output, gradOutput] = [1, 2, 3, 4, 5].map(() => operands.tensor(size))
    const [gradQ, gradK, gradV] = [1, 2, 3].map(() => operands.tensor(size))
    const logsumexp = operands.doubles(HEADS * n)
    const delta = operands.tensor(HEADS * n)
    const intervals = operands.causal(n)
    for (const name of Object.keys(SIMD_VARIANTS) as SimdVariant[]) {
      const kernels = createSimdKernels(operands.memory, name)
      const speeds = [false, true].flatMap(causal => {
        const args = attentionArgs(HEADS, n, d)
        const pairs = HEADS * (causal ? (n * (n + 1)) / 2 : n * n)
        const queryUnits = HEADS * Math.ceil(n / QUERY_TILE)
        const keyUnits = HEADS * Math.ceil(n / KEY_BLOCK)
        const forward = { q, k, v, output, logsumexp, intervals: causal ? intervals : undefined }
        const backward = { ...forward, gradOutput, delta, gradQ, gradK, gradV }
        const seconds = [
          bestSeconds(() => kernels.attentionForward(forward, args, 0, queryUnits, scratch)),
          bestSeconds(() => kernels.attentionBackward(backward, args, 0, keyUnits, scratch)),
        ]
        return [(4 * d * pairs) / seconds[0], (10 * d * pairs) / seconds[1]]
      })
      rows.push([`N ${n}, d ${d}`, name, ...speeds.map(speed => (speed / 1e9).toFixed(1))])
    }
  }
  console.log(table(['shape', 'variant', 'forward', 'backward', 'causal forward', 'causal backward'], rows))
  benchMaps()
}
