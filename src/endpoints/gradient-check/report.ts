/** The numbers that a gradient check has left in its program's buffers → the answer. */
import type { Ref } from '../../../workers/contract.ts'
import { LOSS_COUNT } from '../../../workers/ops/differences/op.ts'
import { indices } from '../../formats/tensor.ts'
import { type Pair, type Slope, STEPS, slopeOf, type Value } from './estimate.ts'

/** An input, and where in the program its numbers are. */
export interface CheckedInput {
  name: string
  shape: number[]
  x: Ref
  gradient: Ref
  /** tensorSize of both */
  size: Ref
  gradientSize: Ref
  /** elements, and the slope along each direction; the evaluations of each begin at `first` */
  entries: { index: number; first: number }[]
  directions: { slope: Ref; first: number }[]
}

type Read = (buffer: Ref) => Float64Array
type Told = number | 'NaN' | 'Infinity' | '-Infinity'

interface Check {
  analytic: Told
  numeric: Told | null
  error: Told | null
  kink?: string
}

/** Relative error that passes. */
const TOLERANCE = 1e-6
/** The least gradient that errors are relative to: a step of the input's size changes the loss by this share of its terms. */
const NEGLIGIBLE = 1e-6

export function reportOf(inputs: CheckedInput[], values: Ref, read: Read): Record<string, unknown> {
  const losses = read(values)
  const all = Object.fromEntries(inputs.map(input => [input.name, inputReport(input, losses, read)]))
  const failed = Object.values(all).some(({ verdict }) => verdict === 'fail')
  return { verdict: failed ? 'fail' : 'pass', loss: told(losses[0]), inputs: all }
}

function valueAt(losses: Float64Array, at: number): Value {
  return { loss: losses[at * LOSS_COUNT], absolute: losses[at * LOSS_COUNT + 1] }
}

/** The loss up and down at each step: evaluations from `first` on. */
function pairsAt(losses: Float64Array, first: number, lengthOf: (step: number) => number): Pair[] {
  return STEPS.map((step, k) => ({
    step: lengthOf(step),
    up: valueAt(losses, first + 2 * k),
    down: valueAt(losses, first + 2 * k + 1),
  }))
}

function inputReport(input: CheckedInput, losses: Float64Array, read: Read) {
  const [x, gradient] = [read(input.x), read(input.gradient)]
  const middle = valueAt(losses, 0)
  const [rms, , finite] = read(input.size)
  const size = rms || 1
  const [, largest] = read(input.gradientSize)
  const scale = Math.max(largest, (NEGLIGIBLE * middle.absolute) / size)
  const judged: { check: Check; failed: boolean }[] = []
  const judge = (analytic: number, slope: Slope | undefined, reason = '') => {
    const found = judgement(analytic, slope, scale, reason)
    judged.push(found)
    return found.check
  }
  const checks = input.entries.map(({ index, first }) => {
    const at = indices(input.shape, index)
    const value = x[index]
    if (!Number.isFinite(value)) {
      const reason = `the element is ${told(value)}: it cannot be moved, and no difference says anything`
      return { index: at, ...judge(gradient[index], undefined, reason) }
    }
    const reach = Math.max(Math.abs(value), size)
    // as far as the two numbers really are apart
    const lengthOf = (step: number) => (value + step * reach - (value - step * reach)) / 2
    return { index: at, ...judge(gradient[index], slopeOf(pairsAt(losses, first, lengthOf), middle)) }
  })
  const directions = input.directions.map(({ slope, first }) => {
    const lengthOf = (step: number) => step * size * Math.sqrt(finite)
    const ofLoss = finite === 0 ? undefined : slopeOf(pairsAt(losses, first, lengthOf), middle)
    return judge(read(slope)[0], ofLoss, 'no element is finite')
  })
  const errors = judged.flatMap(({ check: { error } }) => (error === null ? [] : Number(error)))
  return {
    verdict: judged.some(({ failed }) => failed) ? 'fail' : 'pass',
    worst:
      errors.length === 0
        ? null
        : told(errors.reduce((most, error) => (error > most || Number.isNaN(error) ? error : most))),
    kinks: judged.filter(({ check }) => check.kink !== undefined).length,
    checks,
    directions,
  }
}

/** What is no slope has no part in the verdict. */
function judgement(
  analytic: number,
  slope: Slope | undefined,
  scale: number,
  reason: string,
): { check: Check; failed: boolean } {
  if (slope === undefined) {
    return { check: { analytic: told(analytic), numeric: null, error: null, kink: reason }, failed: false }
  }
  const { value, uncertainty, kink } = slope
  const off = Math.abs(analytic - value)
  const error = scale === 0 ? off : off / scale
  const check = { analytic: told(analytic), numeric: told(value), error: told(error) }
  const unsettled = why(value, uncertainty, kink, scale)
  if (unsettled !== undefined && Number.isFinite(analytic)) {
    return { check: { ...check, error: null, kink: unsettled }, failed: false }
  }
  return { check, failed: !(off <= TOLERANCE * scale + 4 * uncertainty) }
}

/** Why a difference says nothing; undefined where it does. */
function why(value: number, uncertainty: number, kink: Slope['kink'], scale: number): string | undefined {
  if (!Number.isFinite(value)) return 'the loss is not finite there'
  if (kink !== undefined && Math.abs(kink.left - kink.right) > TOLERANCE * scale) {
    const [left, right] = [kink.left, kink.right].map(slope => slope.toPrecision(6))
    return `a kink or a jump, as of a maximum or relu: the slope is ${left} on the left and ${right} on the right`
  }
  if (!(uncertainty <= UNSETTLED * Math.max(scale, Math.abs(value)))) {
    return 'differences do not settle as the step gets smaller: a kink or a jump is near, or rounding hides the slope'
  }
  return undefined
}

/** An uncertainty, relative to the gradients, from which on a difference says nothing. */
const UNSETTLED = 1e-3

function told(value: number): Told {
  return Number.isFinite(value) ? value : (String(value) as Told)
}
