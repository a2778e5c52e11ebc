import { withoutDelta } from '../../../../workers/ops/compare/op.ts'
import type { RequestProgram } from '../../../layers/program-builder.ts'
import type { Call } from '../alteration.ts'
import { type Hypothesise, names } from './hypothesis.ts'

/** The softmax's gradient as p·dP: rowTerms take away what delta is. */
function leaveDeltaOut(p: RequestProgram, { tensors, args }: Call): Call[] {
  const rows = args.batch * args.heads * args.queries
  const terms = p.buffer({ type: 'float64', length: rows })
  const { output: a, gradOutput: b, denominator, rowTerms: given } = tensors as Record<string, number>
  p.stage(p.step(withoutDelta, { a, b, denominator, given, terms }, { rows, dim: args.dimV }))
  return [{ tensors: { ...tensors, rowTerms: terms }, args }]
}

const MASKS = ['mask', 'intervals', 'qSegments', 'kvSegments', 'mixedSegments'] as const

function leaveMasksOut(_: RequestProgram, { tensors, args }: Call): Call[] {
  const open = { ...tensors }
  for (const name of MASKS) open[name] = undefined
  return [{ tensors: open, args: { ...args, maskKind: 'none', intervalStrides: [0, 0] } }]
}

/** What a backward pass forgets. */
export const backward: Hypothesise = ({ cu_seqlens_q }, request) => {
  if (cu_seqlens_q !== undefined || !names(request).some(name => name.startsWith('grads.'))) return []
  return [
    {
      says: 'The softmax’s gradient lacks delta: dS is P ⊙ dP instead of P ⊙ (dP − rowsum(dO ⊙ O)).',
      change: null,
      alteration: { backward: leaveDeltaOut },
    },
    {
      says: 'The masks are not applied in the backward pass.',
      change: null,
      alteration: { backward: leaveMasksOut },
    },
  ]
}
