import { type Hypothesise, scaleOf } from './hypothesis.ts'

/** The factor of the scores: none, twice, that of another formula. */
export const scale: Hypothesise = body => {
  const own = scaleOf(body)
  if (own === undefined || body.q === undefined) return []
  const dim = body.q.shape[body.q.shape.length - 1]
  const ways: [number, string][] = [
    [1, 'The scores are not scaled.'],
    [1 / Math.sqrt(dim), 'The scores are scaled by 1/√d_k, whatever `scale` says.'],
    [1 / dim, 'The scores are scaled by 1/d_k instead of 1/√d_k: perhaps 1/√d_k is applied twice.'],
    [own * own, 'The scale is applied twice, to q (or k) and to the scores again.'],
    [2 * own, 'The scores are twice what they should be.'],
    [Math.sqrt(own), 'The scores are scaled by the root of the scale.'],
    [
      own * Math.log2(Math.E),
      'The factor log₂e of a base-2 softmax is applied, but the exponential is that of e.',
    ],
    [own * Math.LN2, 'The softmax takes powers of 2, but its scores lack the factor log₂e.'],
  ]
  const seen = new Set([own])
  return ways.flatMap(([scale, says]) => {
    if ([...seen].some(other => Math.abs(scale / other - 1) < 1e-12)) return []
    seen.add(scale)
    return [{ says, change: { scale } }]
  })
}
