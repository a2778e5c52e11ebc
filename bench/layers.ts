/** The float32 kernels of layers on one core: GFLOP/s of products with weights, GB/s of what memory bounds. */
import { createSimdKernels, SIMD_VARIANTS, type SimdVariant } from '../workers/kernels/simd/index.ts'
import { linearScratchBytes } from '../workers/kernels/simd/linear.ts'
import { COLUMN_BLOCK, ELEMENT_BLOCK, NORM_ROWS, productUnits } from '../workers/layer-args.ts'
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
    const args = { batch: 1, positions, dimIn, dimOut, headsIn: 1, headsOut, careful: false }
    const [x, gradX] = [operands.tensor(positions * dimIn), operands.tensor(positions * dimIn)]
    const [weight, gradWeight] = [operands.tensor(dimIn * dimOut), operands.tensor(dimIn * dimOut)]
    const [y, residual] = [operands.tensor(positions * dimOut), operands.tensor(positions * dimOut)]
    const bias = operands.tensor(dimOut)
    const scratch = operands.tensor(linearScratchBytes(args) / 4).byteOffset
    return VARIANTS.map(variant => {
      const kernels = createSimdKernels(operands.memory, variant)
      const forward = { x, weight, bias, residual, y }
      const seconds = [
        () => kernels.linearForward(forward, args, 0, productUnits(positions, dimOut), scratch),
        () =>
          kernels.linearBackwardInput(
            { gradY: y, weight, gradX },
            args,
            0,
            productUnits(positions, dimIn),
            scratch,
          ),
        () =>
          kernels.linearBackwardWeight(
            { x, gradY: y, gradWeight },
            args,
            0,
            productUnits(dimIn, dimOut),
            scratch,
          ),
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
  const units = Math.ceil(count / ELEMENT_BLOCK)
  const norm = { rows: ROWS, dim: DIM, kind: 'layer', eps: 1e-5 } as const
  const heads = { rows: count / 64, dim: 64 }
  const rope = { ...heads, positions: ROWS, dims: 64, interleaved: false }
  const [cos, sin] = [operands.tensor(ROWS * 32), operands.tensor(ROWS * 32)]
  const kernels = Object.fromEntries(VARIANTS.map(name => [name, createSimdKernels(operands.memory, name)]))

  type Run = (variant: string) => void
  const cases: [name: string, tensors: number, run: Run][] = [
    ...(['relu', 'gelu', 'gelu_tanh', 'silu', 'swiglu'] as const).flatMap(kind => {
      const tensors = kind === 'swiglu' ? 3 : 2
      const args = { kind, count }
      const forward: Run = name => kernels[name].activationForward({ x, gate, y }, args, 0, units)
      const back = { x, gate, gradY, gradX, gradGate }
      const backward: Run = name => kernels[name].activationBackward(back, args, 0, units)
      return [
        [kind, tensors, forward],
        [`${kind}, backward`, tensors === 3 ? 5 : 3, backward],
      ] as [string, number, Run][]
    }),
    ['LayerNorm', 2, name => kernels[name].normForward({ x, gamma, beta, y }, norm, 0, ROWS)],
    [
      'LayerNorm, backward',
      4,
      name => {
        const t = { x, gamma, gradY, residual, gradX, partialGamma, partialBeta }
        kernels[name].normBackward(t, norm, 0, ROWS / NORM_ROWS)
      },
    ],
    ['rotation', 2, name => kernels[name].ropeForward({ x, cos, sin, y }, rope, 0, heads.rows)],
    [
      'query-key norm',
      2,
      name => kernels[name].qkNormForward({ x, y }, { ...heads, kind: 'rms', eps: 1e-6 }, 0, heads.rows),
    ],
    ['add', 3, name => kernels[name].add({ a: x, b: gate, y }, { count, period: count }, 0, units)],
    [
      'column sums',
      1,
      name => {
        const args = { batch: 1, heads: 1, positions: ROWS, width: DIM }
        kernels[name].columnSums({ x, y: sums }, args, 0, DIM / COLUMN_BLOCK)
      },
    ],
    [
      'dropout',
      2,
      name => {
        const args = { rows: ROWS, dim: DIM, p: 0.1, seedLow: 1, seedHigh: 2 }
        kernels[name].dropoutRows({ x, y }, args, 0, ROWS)
      },
    ],
  ]
  const rows = cases.map(([name, tensors, run]) => [
    name,
    ...VARIANTS.map(variant => {
      const seconds = bestSeconds(() => run(variant))
      const speed = (4 * tensors * count) / seconds / 1e9
      return `${((seconds * 1e9) / count).toFixed(2)} ns, ${speed.toFixed(1)} GB/s`
    }),
  ])
  console.log(table([`${ROWS}×${DIM}, an element`, ...VARIANTS], rows))
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`
}
