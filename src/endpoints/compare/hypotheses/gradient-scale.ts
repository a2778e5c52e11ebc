import { scaling } from '../alteration.ts'
import { type Hypothesise, names, scaleOf } from './hypothesis.ts'

/** The factor of the scores in the gradients of q and k: none, or twice. */
export const gradientScale: Hypothesise = (body, request) => {
  const scale = scaleOf(body)
  const known = names(request).filter(name => name === 'grads.q' || name === 'grads.k')
  if (scale === undefined || scale === 1 || scale === 0 || known.length === 0) return []
  const choices = known.length === 2 ? [known, ['grads.q'], ['grads.k']] : [known]
  return choices.flatMap(chosen => {
    const of = chosen.map(name => name.slice('grads.'.length)).join(' and ')
    const by = (factor: number) => scaling(Object.fromEntries(chosen.map(name => [name, factor])))
    return [
      { says: `The scale is missing in the gradient of ${of}.`, change: null, alteration: by(1 / scale) },
      { says: `The scale is applied twice in the gradient of ${of}.`, change: null, alteration: by(scale) },
    ]
  })
}
