import type { Ref } from '../../../../workers/contract.ts'
import { takeHeads } from '../../../../workers/ops/maps/op.ts'
import type { RequestProgram } from '../../../layers/program-builder.ts'
import { type Hypothesise, headsFirst } from './hypothesis.ts'

/** Tensors that have an axis of query heads. */
const OF_QUERY_HEADS =
  /^(output|weights|scores|masked_scores|softcapped_scores|dropped_weights|logsumexp|entropy|max_score|grads\.q)$/
const READ = ['/q', '/backward/grad_output']

/** Query head h reads kv head h mod H_kv, as if keys and values were tiled instead of repeated. */
export const kvHeads: Hypothesise = body => {
  const { q, k, alibi, sinks, mask, relative_bias, dropout } = body
  const others =
    alibi || sinks !== undefined || mask !== undefined || relative_bias !== undefined || dropout !== undefined
  if (q === undefined || k === undefined || !headsFirst(body) || others) return []
  const [batch, heads] = q.shape
  const [, kvHeads] = k.shape
  const group = heads / kvHeads
  if (kvHeads < 2 || group < 2) return []
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
  const says =
    'Query head h reads kv head h mod H_kv instead of ⌊h · H_kv / H⌋: heads are interleaved instead of grouped.'
  return [
    {
      says,
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
    },
  ]
}
