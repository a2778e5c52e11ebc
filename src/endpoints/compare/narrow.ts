/** A comparison of one kv head with the query heads that read it, in place of all: a hypothesis is tried on the worst first. */
import { product, type TensorSource } from '../../formats/tensor.ts'
import { type AttentionBody, headsFirst } from './hypotheses/hypothesis.ts'
import { placesOf } from './places.ts'
import type { Report } from './report.ts'
import type { CompareRequest } from './request.ts'
import { sliceOf } from './slices.ts'

/** Fields that say the same of each head and batch element. */
const ALIKE = [
  ...[
    'q',
    'k',
    'v',
    'layout',
    'causal',
    'window',
    'scale',
    'softcap',
    'mask',
    'qk_norm',
    'return',
    'backward',
  ],
  ...['rope', 'precision', 'non_finite', 'encoding', 'output_dtype', 'compare_exact'],
]
const OF_QUERY_HEADS = [
  'output',
  'logsumexp',
  'entropy',
  'weights',
  'scores',
  'masked_scores',
  'softcapped_scores',
  'grads.q',
]
const OF_KV_HEADS = ['grads.k', 'grads.v']

/** A kv head of a batch element. */
export interface Place {
  batch: number
  kvHead: number
}

/** Where the candidate is furthest off; undefined where heads cannot be taken one by one, or there is but one. */
export function worstPlace(
  { endpoint, body, candidates }: CompareRequest,
  { tensors }: Report,
): Place | undefined {
  const own = body as AttentionBody
  const { q, k } = own
  if (endpoint.path !== '/v1/attention' || !q || !k || !isAlike(own)) return undefined
  if (!candidates.every(({ name }) => [...OF_QUERY_HEADS, ...OF_KV_HEADS].includes(name))) return undefined
  if (k.shape[0] * k.shape[1] < 2) return undefined
  const [failed] = Object.entries(tensors).filter(([, { verdict }]) => verdict === 'fail')
  const bad = failed === undefined ? [] : placesOf(failed[1]).bad
  if (bad.length === 0) return undefined
  const worst = bad.reduce((found, head) => (head.error > found.error ? head : found))
  const [batch, head] = worst.index
  return {
    batch,
    kvHead: OF_KV_HEADS.includes(failed[0]) ? head : Math.floor((head * k.shape[1]) / q.shape[1]),
  }
}

function isAlike(body: AttentionBody): boolean {
  const others = Object.entries(body).filter(([, value]) => value !== undefined && value !== false)
  const { rope = {}, backward = {} } = body as { rope?: object; backward?: object }
  const ofRope = Object.keys(rope).some(name => name.endsWith('_positions'))
  const ofLoss = Object.keys(backward).some(name => name !== 'grad_output' && name !== 'wrt')
  const known = others.every(([name, value]) => ALIKE.includes(name) || value === 'softmax')
  return headsFirst(body) && known && !ofRope && !ofLoss
}

/** The comparison there, by a rule that lets more pass: what the whole allows may be more than what a head alone does. */
export function narrowed(request: CompareRequest, { batch, kvHead }: Place): CompareRequest | undefined {
  const body = request.body as AttentionBody & { backward?: { grad_output?: TensorSource } }
  const { q, k, v, mask, backward } = body
  if (q === undefined || k === undefined || v === undefined || !isAlike(body)) return undefined
  const group = q.shape[1] / k.shape[1]
  const heads = (source: TensorSource, first: number, count: number) => {
    const each = product(source.shape.slice(2))
    return sliceOf(source, (batch * source.shape[1] + first) * each, [1, count, ...source.shape.slice(2)])
  }
  const ofQuery = (source: TensorSource) => heads(source, kvHead * group, group)
  const ofKv = (source: TensorSource) => heads(source, kvHead, 1)
  const own: AttentionBody = { ...body, q: ofQuery(q), k: ofKv(k), v: ofKv(v) }
  if (mask !== undefined) own.mask = ofMask(mask, batch, kvHead * group, group)
  if (backward?.grad_output !== undefined)
    own.backward = { ...backward, grad_output: ofQuery(backward.grad_output) }
  const candidates = request.candidates.map(candidate => {
    const of = OF_KV_HEADS.includes(candidate.name) ? ofKv : ofQuery
    return { ...candidate, source: of(candidate.source) }
  })
  const { rule } = request
  const looser = rule.kind === 'baseline' ? { ...rule, factor: 2 * rule.factor } : rule
  return { ...request, body: own, candidates, rule: looser }
}

/** A mask may lack axes, or have 1 where it is broadcast. */
function ofMask(mask: TensorSource, batch: number, first: number, count: number): TensorSource {
  const { shape } = mask
  if (shape.length < 3) return mask
  const map = product(shape.slice(-2))
  const [batches, heads] = shape.length === 4 ? shape : [1, shape[0]]
  const start = (batches > 1 ? batch : 0) * heads + (heads > 1 ? first : 0)
  const own = [heads > 1 ? count : 1, ...shape.slice(-2)]
  return sliceOf(mask, start * map, shape.length === 4 ? [1, ...own] : own)
}
