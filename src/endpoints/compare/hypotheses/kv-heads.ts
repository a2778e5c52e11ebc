import type { Ref } from '../../../../workers/contract.ts'
import { takeHeads } from '../../../../workers/ops/maps/op.ts'
import type { RequestProgram } from '../../../layers/program-builder.ts'
import { type Hypothesis, type Hypothesise, headsFirst } from './hypothesis.ts'

/** Tensors that have an axis of query heads. */
const OF_QUERY_HEADS =
  /^(output|weights|scores|masked_scores|softcapped_scores|dropped_weights|logsumexp|entropy|max_score|grads\.q)$/
const READ = ['/q', '/backward/grad_output']

/** Query head h reads kv head h mod H_kv, as if keys and values were tiled instead of repeated. */
export const kvHeads: Hypothesise = body => {
  const { q, k, alibi, sinks, mask, relative_bias, dropout } = body
  const others =
    alibi || sinks !== undefined || mask !== undefined || relative_bias !== undefined || dropout !== undefined
  if (q === undefined || k === undefined || !headsFirst(body)) return []
  const [batch, heads] = q.shape
  const [, kvHeads] = k.shape
  const group = heads / kvHeads
  if (kvHeads < 2) return []
  // what belongs to query heads would have to be put in their order, too
  if (group < 2 || others) return [reversed(batch, kvHeads)]
  const placed = Array.from(
    { length: heads },
    (_, place) => (place % group) * kvHeads + Math.floor(place / group),
  )
  const back = Array.from({ length: heads }, (_, head) => placed.indexOf(head))
  const taken = (p: RequestProgram, x: Ref, chosen: number[]) => {
    const y = p.buffer({ type: p.buffers[x].type, length: p.buffers[x].length })
    const width = p.buffers[x].length / (batch * heads)
    p.stage(p.step(takeHeads, { x, y }, { batch, heads, chosen, width }))
    return y
  }
  const interleaved: Hypothesis = {
    says: 'Query head h reads kv head h mod H_kv instead of ⌊h · H_kv / H⌋: heads are interleaved instead of grouped.',
    change: null,
    ofAllHeads: true,
    alteration: {
      input: (p, pointer, x) => (READ.includes(pointer) ? taken(p, x, placed) : x),
      answer(p, evaluation) {
        for (const [name, output] of evaluation) {
          if (OF_QUERY_HEADS.test(name)) output.buffer = taken(p, output.buffer, back)
        }
      },
    },
  }
  return [interleaved, reversed(batch, kvHeads)]
}

/** The kv heads in the order from the last to the first: of two, one for the other. */
function reversed(batch: number, heads: number): Hypothesis {
  const chosen = Array.from({ length: heads }, (_, head) => heads - 1 - head)
  const taken = (p: RequestProgram, x: Ref) => {
    const { type, length } = p.buffers[x]
    const y = p.buffer({ type, length })
    p.stage(p.step(takeHeads, { x, y }, { batch, heads, chosen, width: length / (batch * heads) }))
    return y
  }
  return {
    says: 'The kv heads are swapped: the first group of query heads reads the last kv head.',
    change: null,
    ofAllHeads: true,
    alteration: {
      input: (p, pointer, x) => (pointer === '/k' || pointer === '/v' ? taken(p, x) : x),
      answer(p, evaluation) {
        for (const name of ['grads.k', 'grads.v', 'present_k', 'present_v']) {
          const output = evaluation.get(name)
          if (output !== undefined) output.buffer = taken(p, output.buffer)
        }
      },
    },
  }
}
