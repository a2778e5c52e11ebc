import type { AttentionBody, Hypothesise } from './hypothesis.ts'

const MASKS = [
  'causal',
  'mask',
  'window',
  'kv_lengths',
  'prefix_lengths',
  'segments',
  'alibi',
  'relative_bias',
]

function hasMasks(body: AttentionBody): boolean {
  return MASKS.some(field => body[field] !== undefined && body[field] !== false)
}

/** The softcap in the wrong place; that it is left out is with what is ignored. */
export const softcap: Hypothesise = body => {
  const { softcap = 0, sinks, cu_seqlens_q, attention_kind: kind = 'softmax' } = body
  const otherwise = sinks !== undefined || cu_seqlens_q !== undefined || kind !== 'softmax'
  if (softcap === 0 || otherwise || !hasMasks(body)) return []
  return [
    {
      says: 'The softcap comes after the masks instead of before them: a masked pair has the score −softcap, and is attended.',
      change: null,
      alteration: { cappedLast: true },
    },
  ]
}
