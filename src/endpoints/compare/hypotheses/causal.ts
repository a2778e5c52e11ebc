import { moveIntervals } from '../../../../workers/ops/compare/op.ts'
import type { Alteration } from '../alteration.ts'
import { filling } from './empty-rows.ts'
import type { AttentionBody, Hypothesis, Hypothesise, Patch } from './hypothesis.ts'

const CORNERS = { top_left: 'top left (j ≤ i)', bottom_right: 'bottom right (j ≤ i + M − N)' } as const

/** As many queries as keys: the corners are on one diagonal. */
function isSquare({ q, k, x, context, layout, ...others }: AttentionBody): boolean {
  const { cu_seqlens_q, q_lengths, kv_lengths, past_k } = others
  const otherwise = [cu_seqlens_q, q_lengths, kv_lengths, past_k, context].some(field => field !== undefined)
  if (x !== undefined) return !otherwise
  const axis = layout === 'bnhd' ? -3 : -2
  return q !== undefined && k !== undefined && !otherwise && q.shape.at(axis) === k.shape.at(axis)
}

/** The causal mask: of the other corner, none, or one that nobody asked for. */
export const causal: Hypothesise = ({ causal, prefix_lengths, ...body }) => {
  const own = causal === true ? 'top_left' : causal || undefined
  const corners = (['top_left', 'bottom_right'] as const).filter(
    corner => corner !== own && (own === undefined || !isSquare(body)),
  )
  const aligned = corners.map(corner => ({
    says: own
      ? `The causal mask is aligned ${CORNERS[corner]} instead of ${CORNERS[own as keyof typeof CORNERS]}.`
      : `A causal mask, aligned ${CORNERS[corner]}, is applied that the body does not ask for.`,
    change: { causal: corner },
  }))
  if (own === undefined) return isSquare(body) ? aligned.slice(0, 1) : aligned
  const open: Patch =
    prefix_lengths === undefined ? { causal: false } : { causal: false, prefix_lengths: null }
  const edges = offByOne({ causal, prefix_lengths, ...body }, own)
  return [{ says: 'The causal mask is not applied.', change: open }, ...aligned, ...edges]
}

const OTHER_ENDS = ['window', 'kv_lengths', 'q_lengths', 'prefix_lengths', 'segments', 'cu_seqlens_q']

/** The diagonal itself, or the key behind it. */
function offByOne(body: AttentionBody, own: string): Hypothesis[] {
  const { window, prefix_lengths, cu_seqlens_q } = body
  if (prefix_lengths !== undefined || cu_seqlens_q !== undefined) return []
  const wide: Hypothesis = {
    says: 'The causal mask is one key too wide: a row attends to the key behind its own position (j ≤ i + 1).',
    change: { causal: false, window: { right: 1, align: window?.align ?? own } },
  }
  if (OTHER_ENDS.some(field => body[field] !== undefined)) return [wide]
  const says =
    'The causal mask is one key too narrow: a row does not attend to the key at its own position (j < i)'
  return [
    wide,
    { says: `${says}.`, change: null, alteration: narrow },
    {
      says: `${says}, and a row without keys is NaN.`,
      change: null,
      alteration: { ...narrow, ...filling('nan') },
    },
  ]
}

const narrow: Alteration = {
  masks(p, { tensors, args }) {
    const x = tensors.intervals
    if (x === undefined) return { tensors, args }
    const { length } = p.buffers[x]
    const y = p.buffer({ type: 'int32', length })
    p.stage(p.step(moveIntervals, { x, y }, { rows: length / 2, keys: args.keys, lo: 0, hi: -1 }))
    return { tensors: { ...tensors, intervals: y }, args }
  },
}
