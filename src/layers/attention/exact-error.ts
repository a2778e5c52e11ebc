/** How far an approximation is from exact attention with the same masks, which is computed beside it. */
import type { RequestProgram } from '../program-builder.ts'
import { rowStep } from '../row-step.ts'
import type { AttentionState } from './index.ts'
import type { Intervals } from './intervals.ts'
import { softmaxForward } from './softmax.ts'

/** Adds exact attention over the same queries, keys and values, and answers the error under `prefix`exact_error. */
export function exactError(
  p: RequestProgram,
  { plan, attended }: AttentionState,
  intervals: Intervals,
  prefix: string,
): void {
  const { v, output } = attended
  const { args } = plan
  const scores = {
    ...attended.scores,
    args: { ...args, intervalStrides: intervals.strides },
    intervals: intervals.ref,
    area: intervals.area,
  }
  const exact = softmaxForward(p, scores, v, { entropy: false })
  const { batch, heads, queries, dimV } = args
  const sizes = { batch, heads, queries, dimV }
  const partials = p.buffer({ type: 'float64', length: 4 * batch * heads })
  const { qLengths } = plan.places.refs
  const compared = { output, exact: exact.output, qLengths, partials }
  p.stage(rowStep({ op: 'outputError', tensors: compared, args: sizes }, batch * heads, 5 * queries * dimV))
  const errors = p.buffer({ type: 'float64', length: 3 })
  const tensors = { partials, errors }
  p.stage(rowStep({ op: 'outputErrorTotal', tensors, args: sizes }, 1, 4 * batch * heads))
  for (const [index, name] of ['max_abs', 'rms', 'relative'].entries()) {
    p.scalar(`${prefix}exact_error.${name}`, errors, index)
  }
}
