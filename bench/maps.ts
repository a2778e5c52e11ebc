/** What maps cost beside the forward pass, on one core: GB/s at which they are written, and at which memory is filled. */
import { attentionForward, type ForwardTensors } from '../workers/ops/attention/op.ts'
import { scratchBytes } from '../workers/ops/define-op.ts'
import { SimdModule } from '../workers/wasm/simd-module.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../workers/wasm/variants.ts'
import { attentionArgs, KernelMemory } from './kernel-operands.ts'
import { table } from './report.ts'
import { bestSeconds } from './timing.ts'

const N = 1024
const D = 64
const HEADS = 8
const PAIRS = HEADS * N * N

const operands = new KernelMemory(2048)

const ARGS = attentionArgs(HEADS, N, D)
const UNITS = attentionForward.units(ARGS)

type AttentionMaps = Pick<ForwardTensors, 'scores' | 'weights'>

/** A row per variant and choice of maps. */
export function benchMaps(): void {
  operands.reset()
  const scratch = operands.tensor(scratchBytes(attentionForward, ARGS) / 4).byteOffset
  const [q, k, v, output] = [1, 2, 3, 4].map(() => operands.tensor(HEADS * N * D))
  const denominator = operands.doubles(2 * HEADS * N)
  const logsumexp = operands.doubles(HEADS * N)
  const nothing = operands.causal(N).fill(N)
  const [weights, scores] = [operands.tensor(PAIRS), operands.tensor(PAIRS)]
  const causal = { intervals: operands.causal(N) }
  const choices: [string, AttentionMaps, { intervals?: Int32Array }?][] = [
    ['weights', { weights }],
    ['weights, causal', { weights }, causal],
    ['scores', { scores }],
    ['scores and weights', { scores, weights }],
  ]
  const speed = (maps: AttentionMaps, seconds: number) =>
    ((Object.keys(maps).length * PAIRS * 4) / seconds / 1e9).toFixed(1)
  const rows: string[][] = []
  for (const variant of Object.keys(SIMD_VARIANTS) as SimdVariant[]) {
    const forward = new SimdModule(operands.memory, variant).kernel(attentionForward)
    for (const [name, maps, masks] of choices) {
      const tensors = { q, k, v, output, denominator, logsumexp, ...masks }
      const alone = bestSeconds(() => forward(tensors, ARGS, 0, UNITS, scratch))
      const both = { ...tensors, ...maps }
      const together = bestSeconds(() => forward(both, ARGS, 0, UNITS, scratch))
      const milliseconds = [alone, together].map(seconds => (seconds * 1000).toFixed(2))
      rows.push([name, variant, ...milliseconds, speed(maps, together - alone)])
    }
    const padding = { q, k, v, output, denominator, logsumexp, weights, intervals: nothing }
    const zeros = bestSeconds(() => forward(padding, ARGS, 0, UNITS, scratch))
    rows.push([
      'zeros where all is padding',
      variant,
      '-',
      (zeros * 1000).toFixed(2),
      speed({ weights }, zeros),
    ])
  }
  const fill = bestSeconds(() => weights.fill(1))
  rows.push(['Float32Array.fill', '-', '-', (fill * 1000).toFixed(2), speed({ weights }, fill)])
  console.log(
    table([`maps of [1,${HEADS},${N},${D}]`, 'variant', 'forward ms', 'with maps ms', 'GB/s'], rows),
  )
}
