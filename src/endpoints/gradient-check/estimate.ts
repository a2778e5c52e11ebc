/**
 * A slope from differences of the loss at several steps (Richardson), how far it may be off, and whether there is one at all: at a kink the
 * slopes on both sides differ however small the step is.
 */

/** The steps of an entry, in units of its size: 2^−s. The last is for what bends or breaks within the others. */
export const STEPS = [8, 11, 14, 20].map(s => 2 ** -s)
/** Evaluations of the loss a slope. */
export const EVALUATIONS = 2 * STEPS.length

/** What one evaluation of the loss gives. */
export interface Value {
  loss: number
  /** Σ|terms| */
  absolute: number
}

/** The loss at x ± step, the largest step first. */
export interface Pair {
  step: number
  up: Value
  down: Value
}

export interface Slope {
  value: number
  /** how far off it may be: by rounding, and by what is left of the step */
  uncertainty: number
  /** slopes on the left and on the right, where they differ by more than can be explained */
  kink?: { left: number; right: number }
}

/** Relative to Σ|terms|: rounding errors that a loss may have. */
const LOSS_ERROR = 2 ** -49
/** Relative to the slopes: what two sides may differ by. */
const KINK = 1e-6

export function slopeOf(pairs: Pair[], middle: Value): Slope {
  const difference = pairs.map(({ step, up, down }) => (up.loss - down.loss) / (2 * step))
  const noise = pairs.map(({ step, up, down }) => (LOSS_ERROR * Math.max(up.absolute, down.absolute)) / step)
  const bend = pairs.map(({ step, up, down }) => (up.loss - middle.loss - (middle.loss - down.loss)) / step)
  const better = pairs.slice(1).map(({ step }, k) => {
    const ratio = (pairs[k].step / step) ** 2
    return difference[k + 1] + (difference[k + 1] - difference[k]) / (ratio - 1)
  })
  const [d, n] = [difference[3], noise[3]]
  const ratio = pairs[2].step / pairs[3].step
  // what is left of the bend as the step goes to 0
  const break_ = Math.min(Math.abs(bend[3]), Math.abs((ratio * bend[3] - bend[2]) / (ratio - 1)))
  const [first, second] = [Math.abs(better[0] - better[1]), Math.abs(better[1] - better[2])]
  const candidates: Slope[] = [
    { value: better[0], uncertainty: first + noise[1] },
    { value: better[1], uncertainty: Math.min(first, second) + noise[2] },
    { value: better[2], uncertainty: second / 64 + n },
    { value: d, uncertainty: break_ / 2 + n },
  ]
  const left = (middle.loss - pairs[3].down.loss) / pairs[3].step
  const right = (pairs[3].up.loss - middle.loss) / pairs[3].step
  // where a function only bends, that is as many times less as the step
  const breaks = Math.abs(bend[3]) * ratio > 2 * Math.abs(bend[2])
  if (breaks && break_ > KINK * Math.max(Math.abs(left), Math.abs(right)) + 4 * n) {
    return { value: d, uncertainty: break_, kink: { left, right } }
  }
  return candidates.reduce((best, each) => (each.uncertainty < best.uncertainty ? each : best))
}
