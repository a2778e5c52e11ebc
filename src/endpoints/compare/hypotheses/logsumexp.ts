import { combined, scaling } from '../alteration.ts'
import { type Hypothesise, names } from './hypothesis.ts'

/** Of rows [batch, heads, queries] in the order in which they are computed. */
export const logsumexp: Hypothesise = (body, request) => {
  if (!names(request).includes('logsumexp')) return []
  const base2 = {
    says: 'The logsumexp is one to base 2: log₂ Σ 2^s·log₂e instead of ln Σ e^s.',
    change: null,
    alteration: scaling({ logsumexp: Math.LOG2E }),
  }
  if (body.cu_seqlens_q !== undefined || body.sinks !== undefined) return [base2]
  return [
    base2,
    {
      says: 'The row’s maximum is left out of the logsumexp: it is ln Σ e^(s − max) alone.',
      change: null,
      alteration: {
        answer(p, evaluation, [attention]) {
          const output = evaluation.get('logsumexp')
          if (output === undefined || attention === undefined) return
          const maximum = { z: attention.denominator, share: -1, stride: 2 }
          output.buffer = combined(p, output.buffer, 1, maximum)
        },
      },
    },
  ]
}
