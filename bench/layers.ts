/** The float32 kernels of layers on one core: GFLOP/s of products with weights, GB/s of what memory bounds. */
import { activationBackward, activationForward } from '../workers/ops/activation/op.ts'
import { type Args, type Op, scratchBytes, type Tensors } from '../workers/ops/define-op.ts'
import { add, columnSums, dropoutRows } from '../workers/ops/elementwise/op.ts'
import { linearBackwardInput, linearBackwardWeight, linearForward } from '../workers/ops/linear/op.ts'
import { NORM_ROWS, normBackward, normForward } from '../workers/ops/norm/op.ts'
import { qkNormForward } from '../workers/ops/qk-norm/op.ts'
import { ropeForward } from '../workers/ops/rope/op.ts'
import { SimdModule } from '../workers/wasm/simd-module.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../workers/wasm/variants.ts'
import { KernelMemory } from './kernel-operands.ts'
import { peakGigaflops } from './peak.ts'
import { table } from './report.ts'
import { bestSeconds } from './timing.ts'

/** Rows, dimIn, dimOut, heads that the result is split into. */
const PRODUCTS = [
  [1024, 1024, 1024, 1],
  [512, 512, 512, 1],
  [512, 512, 512, 8],
  [512, 512, 2048, 1],
  [512, 2048, 512, 1],
  [512, 50, 97, 1],
  [8, 512, 2048, 1],
]
const ROWS = 512
const DIM = 512

const VARIANTS = Object.keys(SIMD_VARIANTS) as SimdVariant[]
const operands = new KernelMemory(1024)

export async function benchLayers(): Promise<void> {
  const peak = await peakGigaflops()
  console.log(`FMA peak of the core: ${peak.toFixed(1)} GFLOP/s\n`)
  benchProducts(peak)
  benchElementwise()
}

/** A row per shape and variant: x·W, and its gradients by x and by W. */
function benchProducts(peak: number): void {
  const rows = PRODUCTS.flatMap(([positions, dimIn, dimOut, headsOut]) => {
    operands.reset()
    const args = { batch: 1, positions, dimIn, dimOut, headsIn: 1, headsOut }
    const [x, gradX] = [operands.tensor(positions * dimIn), operands.tensor(positions * dimIn)]
    const [weight, gradWeight] = [operands.tensor(dimIn * dimOut), operands.tensor(dimIn * dimOut)]
    const [y, residual] = [operands.tensor(positions * dimOut), operands.tensor(positions * dimOut)]
    const bias = operands.tensor(dimOut)
    const scratch = operands.tensor(scratchBytes(linearForward, args) / 4).byteOffset
    return VARIANTS.map(variant => {
      const simd = new SimdModule(operands.memory, variant)
      const seconds = [
        whole(simd, linearForward, { x, weight, bias, residual, y }, args, scratch),
        whole(simd, linearBackwardInput, { gradY: y, weight, gradX }, args, scratch),
        whole(simd, linearBackwardWeight, { x, gradY: y, gradWeight }, args, scratch),
      ].map(bestSeconds)
      const speeds = seconds.map(time => (2 * positions * dimIn * dimOut) / time / 1e9)
      const name = `${positions}×${dimIn}×${dimOut}${headsOut > 1 ? `, ${headsOut} heads` : ''}`
      return [name, variant, ...speeds.map(speed => `${speed.toFixed(1)} (${percent(speed / peak)})`)]
    })
  })
  console.log(table(['shape', 'variant', 'x·W', 'by x', 'by W'], rows))
}

/** A row per kernel: nanoseconds an element, and the bytes of its tensors that go through. */
function benchElementwise(): void {
  operands.reset()
  const count = ROWS * DIM
  const [x, gate, y, gradY, gradX, gradGate, residual] = Array.from({ length: 7 }, () =>
    operands.tensor(count),
  )
  const [gamma, beta, sums] = Array.from({ length: 3 }, () => operands.tensor(DIM))
  const [partialGamma, partialBeta] = Array.from({ length: 2 }, () =>
    operands.tensor((ROWS / NORM_ROWS) * DIM),
  )
  const norm = { rows: ROWS, dim: DIM, kind: 'layer', eps: 1e-5 } as const
  const heads = { rows: count / 64, dim: 64 }
  const rope = { ...heads, heads: DIM / 64, positions: ROWS, alike: 1, dims: 64, interleaved: false }
  const [cos, sin] = [operands.tensor(ROWS * 32), operands.tensor(ROWS * 32)]
  const scratch = operands.tensor(256).byteOffset
  const modules = Object.fromEntries(VARIANTS.map(name => [name, new SimdModule(operands.memory, name)]))

  type Run = (variant: string) => () => void
  const run = <O extends Op>(op: O, tensors: Tensors<O>, args: Args<O>): Run => {
    return name => whole(modules[name], op, tensors, args, scratch)
  }
  const activations = (['relu', 'gelu', 'gelu_tanh', 'silu', 'swiglu'] as const).flatMap(kind => {
    const gated = kind === 'swiglu'
    const backward = { x, gate, gradY, gradX, gradGate }
    const pair: [name: string, tensors: number, run: Run][] = [
      [kind, gated ? 3 : 2, run(activationForward, { x, gate, y }, { kind, count })],
      [`${kind}, backward`, gated ? 5 : 3, run(activationBackward, backward, { kind, count })],
    ]
    return pair
  })
  const normGradients = { x, gamma, gradY, residual, gradX, partialGamma, partialBeta }
  const dropout = { rows: ROWS, dim: DIM, p: 0.1, seedLow: 1, seedHigh: 2 }
  const cases: [name: string, tensors: number, run: Run][] = [
    ...activations,
    ['LayerNorm', 2, run(normForward, { x, gamma, beta, y }, norm)],
    ['LayerNorm, backward', 4, run(normBackward, normGradients, norm)],
    ['rotation', 2, run(ropeForward, { x, cos, sin, y }, rope)],
    ['query-key norm', 2, run(qkNormForward, { x, y }, { ...heads, kind: 'rms', eps: 1e-6 })],
    ['add', 3, run(add, { a: x, b: gate, y }, { count, period: count })],
    ['column sums', 1, run(columnSums, { x, y: sums }, { batch: 1, heads: 1, positions: ROWS, width: DIM })],
    ['dropout', 2, run(dropoutRows, { x, y }, dropout)],
  ]
  const rows = cases.map(([name, tensors, run]) => [
    name,
    ...VARIANTS.map(variant => {
      const seconds = bestSeconds(run(variant))
      const speed = (4 * tensors * count) / seconds / 1e9
      return `${((seconds * 1e9) / count).toFixed(2)} ns, ${speed.toFixed(1)} GB/s`
    }),
  ])
  console.log(table([`${ROWS}×${DIM}, an element`, ...VARIANTS], rows))
}

/** All units of an op in one call. */
function whole<O extends Op>(
  simd: SimdModule,
  op: O,
  tensors: Tensors<O>,
  args: Args<O>,
  scratch: number,
): () => void {
  const kernel = simd.kernel(op)
  const units = op.units({ ...args })
  return () => kernel(tensors, args, 0, units, scratch)
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`
}
