import { invertMask } from '../../../../workers/ops/compare/op.ts'
import type { Alteration } from '../alteration.ts'
import { combined } from '../alteration.ts'
import type { Hypothesise } from './hypothesis.ts'

const inverted: Alteration = {
  input(p, pointer, x) {
    if (pointer !== '/mask') return x
    const { length: count } = p.buffers[x]
    const y = p.buffer({ type: 'uint8', length: count })
    p.stage(p.step(invertMask, { x, y }, { count }))
    return y
  },
}

const negated: Alteration = {
  input: (p, pointer, x) => (pointer === '/mask' ? combined(p, x, -1) : x),
}

/** A mask read the other way round. */
export const mask: Hypothesise = ({ mask }) => {
  if (mask === undefined) return []
  if (mask.dtype !== 'bool') {
    return [{ says: 'The float mask is subtracted instead of added.', change: null, alteration: negated }]
  }
  const says = 'The mask’s polarity is wrong: true is taken for masked, false for attended.'
  return [{ says, change: null, alteration: inverted }]
}
