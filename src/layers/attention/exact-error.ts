/** How far an approximation is from exact attention with the same masks, which is computed beside it. */
import { outputError, outputErrorTotal } from '../../../workers/ops/output-error/op.ts'
import type { RequestProgram } from '../program-builder.ts'
import type { Intervals } from './intervals.ts'
import type { AttentionPlan } from './stages/stage.ts'
import { exactForward } from './variants/exact.ts'
import type { Attended } from './variants/variant.ts'

/** Adds exact attention over the same queries, keys and values, and answers the error under `prefix`exact_error. */
export function exactError(
  p: RequestProgram,
  { plan, attended }: { plan: AttentionPlan; attended: Attended },
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
  const exact = exactForward(p, scores, v, { entropy: false })
  const { batch, heads, queries, dimV } = args
  const sizes = { batch, heads, queries, dimV, positionsFirst: args.positionsFirst }
  const partials = p.buffer({ type: 'float64', length: 4 * batch * heads })
  const { qLengths } = plan.places.refs
  const compared = { output, exact: exact.output, qLengths, partials }
  p.stage(p.step(outputError, compared, sizes))
  const errors = p.buffer({ type: 'float64', length: 3 })
  p.stage(p.step(outputErrorTotal, { partials, errors }, sizes))
  for (const [index, name] of ['max_abs', 'rms', 'relative'].entries()) {
    p.scalar(`${prefix}exact_error.${name}`, errors, index)
  }
}
