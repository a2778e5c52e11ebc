/**
 * GFLOP/s of the float32 kernels on one core, by shape and variant; short runs, best of several. Only attended pairs
 * count: 2·(d_k + d_v) operations each forward, 2·(3·d_k + 2·d_v) backward.
 */

import { createSimdKernels, SIMD_VARIANTS, type SimdVariant } from '../workers/kernels/simd/index.ts'
import { scratchBytes } from '../workers/kernels/simd/scratch.ts'
import type { AttentionArgs } from '../workers/task.ts'
import { KEY_BLOCK, QUERY_TILE } from '../workers/task.ts'
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

const pages = 2048
const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
let next = 65536

function tensor(length: number): Float32Array {
  const view = new Float32Array(memory.buffer, next, length)
  next += Math.ceil((length * 4) / 64) * 64
  for (let i = 0; i < length; i++) view[i] = Math.random() - 0.5
  return view
}

function argsFor(n: number, d: number, causal: boolean): AttentionArgs {
  return {
    ...{ batch: 1, heads: HEADS, kvHeads: HEADS, queries: n, keys: n, dimK: d, dimV: d, causal },
    ...{
      scale: 1 / Math.sqrt(d),
      softcap: 0,
      alignment: 'top_left',
      pastKeys: 0,
      windowLeft: -1,
      windowRight: -1,
    },
    ...{ maskKind: 'none', maskStrides: [0, 0, 0, 0], dropoutP: 0, seedLow: 0, seedHigh: 0, careful: false },
  }
}

/** A row per shape and variant. */
export function benchKernels(): void {
  const rows: string[][] = []
  for (const [n, d] of SHAPES) {
    next = 65536
    const size = HEADS * n * d
    const scratch = tensor(scratchBytes(d, d) / 4).byteOffset
    const [q, k, v, output, gradOutput] = [1, 2, 3, 4, 5].map(() => tensor(size))
    const [gradQ, gradK, gradV] = [1, 2, 3].map(() => tensor(size))
    const logsumexp = new Float64Array(memory.buffer, tensor(2 * HEADS * n).byteOffset, HEADS * n)
    const delta = tensor(HEADS * n)
    for (const name of Object.keys(SIMD_VARIANTS) as SimdVariant[]) {
      const kernels = createSimdKernels(memory, name)
      const speeds = [false, true].flatMap(causal => {
        const args = argsFor(n, d, causal)
        const pairs = HEADS * (causal ? (n * (n + 1)) / 2 : n * n)
        const queryUnits = HEADS * Math.ceil(n / QUERY_TILE)
        const keyUnits = HEADS * Math.ceil(n / KEY_BLOCK)
        const forward = { q, k, v, output, logsumexp }
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
