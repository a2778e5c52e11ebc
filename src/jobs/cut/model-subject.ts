/** How a request to a model is cut: over the batch. */
import type { OfWhole } from '../../endpoints/models/endpoint.ts'
import type { NamedAxes, Subject, Tree } from './subject.ts'

const INPUTS: NamedAxes[] = [
  ['token_ids', rank => 'bn'.slice(-rank)],
  ['attention_mask', rank => 'bn'.slice(-rank)],
  ['token_type_ids', rank => 'bn'.slice(-rank)],
  ['backward.of.target', rank => 'bd'.slice(-rank)],
  ['backward.of.grad_output', () => 'bnd'],
  ['relevance.of.target', rank => 'bd'.slice(-rank)],
  ['relevance.of.grad_output', () => 'bnd'],
]

/** Instead of these, shapes are asked for with ids. */
const TOKENS = ['text', 'text_pair', 'attention_mask', 'token_type_ids']

export function modelSubject(whole: OfWhole): Subject {
  return {
    over: 'b',
    lists: ['tokens', 'next_tokens', 'generated', 'values'],
    hindrance({ return: names, generate }) {
      if (Array.isArray(names) && names.includes('head_metrics')) {
        return '`head_metrics` are means over the batch'
      }
      const { temperature = 0 } = (generate ?? {}) as { temperature?: number }
      return temperature > 0 ? '`generate` draws by the place in the batch' : undefined
    },
    inputs: () => INPUTS,
    extents: () => ({ batch: whole.batch, kvHeads: 1, group: 1 }),
    output(name, { length }) {
      return /^grads\.params\./.test(name) ? undefined : 'b'.padEnd(length, 'x')
    },
    rest(rest, { batch: [from, to] }) {
      const sliced: Tree = { ...rest }
      for (const name of ['text', 'text_pair']) {
        const texts = rest[name]
        if (Array.isArray(texts)) sliced[name] = texts.slice(from, to)
      }
      return sliced
    },
    shapes(tree, { batch: [from, to] }) {
      const others = Object.entries(tree).filter(([name]) => !TOKENS.includes(name))
      return { ...Object.fromEntries(others), token_ids: { shape: [to - from, whole.positions] } }
    },
  }
}
