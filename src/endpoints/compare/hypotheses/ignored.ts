import type { Hypothesise } from './hypothesis.ts'

/** What each does to a kernel that does not know it. */
const OPTIONS: Record<string, string> = {
  softcap: 'The softcap is not applied.',
  window: 'The window is not applied.',
  alibi: 'The ALiBi bias is not added.',
  relative_bias: 'The relative bias is not added.',
  mask: 'The mask is not applied.',
  kv_lengths: 'The keys behind `kv_lengths` are attended.',
  q_lengths: 'The query rows behind `q_lengths` are computed as any others.',
  prefix_lengths: 'The prefix is not open: the causal mask holds there, too.',
  segments: 'Segments attend to each other.',
  sinks: 'The sinks have no part in the denominator.',
  rope: 'Queries and keys are not rotated.',
  qk_norm: 'Queries and keys are not normalised.',
  dropout: 'No weight is dropped.',
}

/** An option that is not looked at. */
export const ignored: Hypothesise = body =>
  Object.entries(OPTIONS).flatMap(([option, says]) =>
    body[option] === undefined || body[option] === false ? [] : [{ says, change: { [option]: null } }],
  )
