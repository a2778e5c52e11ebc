import { alibiSlopes } from '../../../layers/attention/biases.ts'
import { type Alteration, combined } from '../alteration.ts'
import type { Hypothesise } from './hypothesis.ts'

const negated: Alteration = {
  input: (p, pointer, x) => (pointer === '/alibi' ? combined(p, x, -1) : x),
}

const SAYS = 'The ALiBi bias has the wrong sign: it grows with the distance.'

export const alibi: Hypothesise = ({ alibi, q, layout, cu_seqlens_q }) => {
  if (alibi === undefined || alibi === false) return []
  if (alibi === true && q !== undefined) {
    const axis = layout === 'bnhd' ? 2 : 1
    const heads = cu_seqlens_q !== undefined ? q.shape[1] : q.shape.length === 4 ? q.shape[axis] : 1
    return [{ says: SAYS, change: { alibi: alibiSlopes(heads).map(slope => -slope) } }]
  }
  if (alibi === true) return []
  return [{ says: SAYS, change: null, alteration: negated }]
}
