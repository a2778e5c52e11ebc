/**
 * Which variant to run on this machine. None is assumed to work or to be fast: each computes small problems, forward
 * and backward, that are checked against the formulas, and those that pass are timed against each other.
 */
import { attentionForward } from '../ops/attention/op.ts'
import { attentionProblem, selfCheck } from '../self-check.ts'
import { SimdModule } from './simd-module.ts'
import { SIMD_VARIANTS, type SimdVariant } from './variants.ts'

export interface Measurement {
  variant: SimdVariant
  /** largest relative error of the self-check; undefined when the variant could not run at all */
  error?: number
  /** forward pass on one core; undefined when it was not timed */
  gigaflops?: number
  /** why the variant is out of the question */
  failure?: string
}

export interface VariantChoice {
  variant: SimdVariant
  measurements: Measurement[]
}

/** Far above float32's rounding here (1e-6), far below what a wrong lane or term would do. */
const TOLERANCE = 1e-4
/** Long enough for V8 to replace its quick first compilation by the optimised one in the background. */
const TIMED = { n: 96, d: 64, milliseconds: 40 }

/**
 * Checks and times the variants in `memory`, of which nothing may be in use yet (it needs less than 1 MiB). Throws when
 * the forced variant, or every one, fails.
 */
export function chooseVariant(
  memory: WebAssembly.Memory,
  { forced }: { forced?: SimdVariant } = {},
): VariantChoice {
  const names = forced === undefined ? (Object.keys(SIMD_VARIANTS) as SimdVariant[]) : [forced]
  const candidates = names.map(variant => candidateOf(memory, variant))
  const passed = candidates.filter(({ simd }) => simd !== undefined)
  const measurements = candidates.map(({ measurement }) => measurement)
  if (passed.length === 0) {
    throw new Error(
      `no SIMD kernels run here: ${measurements.map(m => `${m.variant}: ${m.failure}`).join('; ')}`,
    )
  }
  if (forced === undefined) time(memory, passed)
  const best = passed.reduce((a, b) =>
    (b.measurement.gigaflops ?? 0) > (a.measurement.gigaflops ?? 0) ? b : a,
  )
  return { variant: best.measurement.variant, measurements }
}

interface Candidate {
  measurement: Measurement
  simd?: SimdModule
}

function candidateOf(memory: WebAssembly.Memory, variant: SimdVariant): Candidate {
  try {
    const simd = new SimdModule(memory, variant)
    const error = selfCheck(simd)
    if (error <= TOLERANCE) return { simd, measurement: { variant, error } }
    return { measurement: { variant, error, failure: `wrong by ${error} in the self-check` } }
  } catch (error) {
    return { measurement: { variant, failure: error instanceof Error ? error.message : String(error) } }
  }
}

/** Short runs of each in turn, the best of each counting, so that a disturbance hits all alike or nobody. */
function time(memory: WebAssembly.Memory, candidates: Candidate[]): void {
  const { n, d } = TIMED
  const { tensors, args, scratch } = attentionProblem(memory, n, d)
  const kernels = candidates.map(({ simd }) => simd?.kernel(attentionForward))
  const best = candidates.map(() => Number.POSITIVE_INFINITY)
  const end = performance.now() + TIMED.milliseconds
  do {
    for (const [index, forward] of kernels.entries()) {
      const begin = performance.now()
      forward?.({ ...tensors, intervals: undefined }, args, 0, attentionForward.units(args), scratch)
      best[index] = Math.min(best[index], performance.now() - begin)
    }
  } while (performance.now() < end)
  for (const [index, { measurement }] of candidates.entries()) {
    measurement.gigaflops = (4 * n * n * d) / (best[index] * 1e6)
  }
}
