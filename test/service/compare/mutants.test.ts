/** Mutants of a right kernel, forward and backward: each fails, and the right reason is the first that is named. */
import { describe, expect, it } from 'vitest'
import { dropoutKeys, keepFactor } from '../../../workers/ops/dropout.ts'
import { tiledAttention } from '../../support/tiled-attention.ts'
import { MISTAKES, type Mistake, type TiledProblem } from '../../support/tiled-mistakes.ts'
import { post, startServer } from '../server.ts'
import { draw } from './tensors.ts'

const server = await startServer()

const [BATCH, HEADS, KV_HEADS, DIM] = [2, 4, 2, 8]

/** A problem for the kernel, and the same as a body of /v1/attention. */
interface Case {
  problem: TiledProblem
  body: object
}

function sized(queries: number, keys: number, kvHeads = KV_HEADS) {
  return {
    q: draw(31, BATCH, HEADS, queries, DIM),
    k: draw(32, BATCH, kvHeads, keys, DIM),
    v: draw(33, BATCH, kvHeads, keys, DIM),
    gradOutput: draw(34, BATCH, HEADS, queries, DIM),
  }
}

function caseOf(more: Partial<TiledProblem>, fields: object, tensors = sized(19, 21)): Case {
  const { gradOutput, ...own } = tensors
  const body = { ...own, backward: { grad_output: gradOutput }, ...fields }
  return { problem: { ...tensors, ...more }, body }
}

const bool = Array.from({ length: 19 * 21 }, (_, at) => at % 5 !== 2)
const bias = draw(35, 19, 21)
const slopes = [0.5, 0.25, 0.125, 0.0625]
const dropout = { p: 0.25, seed: 7 }
function kept(_b: number, _h: number, _i: number, j: number): number {
  const row = (_b * HEADS + _h) * 19 + _i
  return keepFactor({ dropoutP: 0.25 }, dropoutKeys({ seedLow: 7, seedHigh: 0 }, row), j)
}

const CASES = {
  plain: caseOf({}, {}),
  causal: caseOf({ causal: 'bottom_right' }, { causal: 'bottom_right' }),
  empty: caseOf({ causal: 'bottom_right' }, { causal: 'bottom_right' }, sized(21, 15)),
  scaled: caseOf({ scale: 0.7 }, { scale: 0.7 }),
  window: caseOf({ window: { left: 4, right: 2 } }, { window: { left: 4, right: 2 } }),
  softcap: caseOf({ causal: 'top_left', softcap: 2 }, { causal: 'top_left', softcap: 2 }),
  bool: caseOf({ bool }, { mask: { shape: [19, 21], dtype: 'bool', data: bool } }),
  bias: caseOf({ float: bias.data }, { mask: bias }),
  lengths: caseOf({ kvLength: 13 }, { kv_lengths: [13, 13] }),
  alibi: caseOf({ slopes, causal: 'top_left' }, { alibi: slopes, causal: 'top_left' }),
  rope: caseOf({ rope: { interleaved: true } }, { rope: { interleaved: true } }),
  dropout: caseOf({ keep: kept }, { dropout }),
} satisfies Record<string, Case>

const NOWHERE = 'No mistake of the list: it is only known to be wrong.'

const MUTANTS: [Mistake, keyof typeof CASES, string][] = [
  ['scale-missing', 'plain', 'The scores are not scaled.'],
  ['scale-twice', 'scaled', 'The scale is applied twice'],
  ['scale-doubled', 'plain', 'The scores are twice what they should be.'],
  ['scale-by-d', 'plain', 'The scores are scaled by 1/d_k'],
  ['scale-ignored', 'scaled', 'The scores are scaled by 1/√d_k, whatever'],
  ['scale-log2e', 'plain', 'The factor log₂e of a base-2 softmax'],
  ['scale-ln2', 'plain', 'The softmax takes powers of 2'],
  ['causal-missing', 'causal', 'The causal mask is not applied.'],
  ['causal-added', 'plain', 'A causal mask, aligned top left (j ≤ i), is applied'],
  ['causal-other-corner', 'causal', 'The causal mask is aligned top left (j ≤ i) instead of bottom right'],
  ['causal-strict', 'causal', 'The causal mask is one key too narrow'],
  ['causal-wide', 'causal', 'The causal mask is one key too wide'],
  ['window-missing', 'window', 'The window is not applied.'],
  ['window-narrow', 'window', 'The window is one key too narrow at its left end.'],
  ['window-wide', 'window', 'The window is one key too wide at its left end.'],
  ['window-other-corner', 'window', 'The window is counted from the bottom right corner.'],
  ['softcap-missing', 'softcap', 'The softcap is not applied.'],
  ['softcap-last', 'softcap', 'The softcap comes after the masks'],
  ['mask-missing', 'bool', 'The mask is not applied.'],
  ['mask-inverted', 'bool', 'The mask’s polarity is wrong'],
  ['bias-missing', 'bias', 'The mask is not applied.'],
  ['bias-subtracted', 'bias', 'The float mask is subtracted'],
  ['lengths-missing', 'lengths', 'The keys behind `kv_lengths` are attended.'],
  ['alibi-missing', 'alibi', 'The ALiBi bias is not added.'],
  ['alibi-sign', 'alibi', 'The ALiBi bias has the wrong sign'],
  ['rope-missing', 'rope', 'Queries and keys are not rotated.'],
  ['rope-other-pairs', 'rope', 'RoPE rotates halves'],
  ['heads-interleaved', 'plain', 'Query head h reads kv head h mod H_kv'],
  ['kv-heads-reversed', 'plain', 'The kv heads are swapped'],
  ['k-and-v-swapped', 'plain', 'k and v are taken for each other.'],
  ['strides-of-other-layout', 'plain', 'The memory of q, k and v is [B, H, N, d]'],
  ['lse-base-2', 'plain', 'The logsumexp is one to base 2'],
  ['lse-without-maximum', 'plain', 'The row’s maximum is left out'],
  ['dropout-unscaled', 'dropout', 'The weights that dropout keeps are not multiplied'],
  ['dropout-missing', 'dropout', 'No weight is dropped.'],
  ['empty-nan', 'empty', 'Rows that attend to nothing are NaN'],
  ['empty-uniform', 'empty', 'Rows that attend to nothing are the mean'],
  ['delta-missing', 'causal', 'The softmax’s gradient lacks delta'],
  ['dq-scale-missing', 'causal', 'The scale is missing in the gradient of q.'],
  ['dk-scale-missing', 'plain', 'The scale is missing in the gradient of k.'],
  ['both-scales-missing', 'plain', 'The scale is missing in the gradient of q and k.'],
  ['dq-scale-twice', 'plain', 'The scale is applied twice in the gradient of q.'],
  ['dk-scale-twice', 'plain', 'The scale is applied twice in the gradient of k.'],
  [
    'group-last',
    'causal',
    'The gradients of k and v are not summed over the query heads of a group: they are those of its last',
  ],
  [
    'group-first',
    'plain',
    'The gradients of k and v are not summed over the query heads of a group: they are those of its first',
  ],
  ['group-mean', 'plain', 'The gradients of k and v are the mean over the query heads'],
  ['backward-mask-missing', 'causal', 'The masks are not applied in the backward pass.'],
  ['dk-and-dv-swapped', 'plain', 'The gradients of k and v are taken for each other.'],
  ['batch-wrong', 'plain', 'Only a part is wrong, and all else is right: batch element 1 of output.'],
  [
    'head-wrong',
    'plain',
    'Only a part is wrong, and all else is right: head 2 of every batch element of output.',
  ],
  [
    'query-tile-wrong',
    'plain',
    'Only a part is wrong, and all else is right: rows 8 to 15 (a tile of 8) of every head of output.',
  ],
  [
    'query-tail-wrong',
    'plain',
    'Only a part is wrong, and all else is right: rows 16 to 18 (the last, from 16 on) of every head of output.',
  ],
  [
    'key-tile-wrong',
    'plain',
    'Only a part is wrong, and all else is right: rows 8 to 15 (a tile of 8) of every head of grads.k.',
  ],
  [
    'dimension-tail-wrong',
    'plain',
    'Only a part is wrong, and all else is right: dimensions 6 to 7 of every head of output.',
  ],
  ['rescale-missing', 'plain', NOWHERE],
  ['key-tail-lost', 'plain', NOWHERE],
]

async function compared({ problem, body }: Case, mistake?: Mistake) {
  const { output, logsumexp, grads } = tiledAttention(problem, mistake)
  const finite = (tensor: { shape: number[]; data: number[] }) => ({
    shape: tensor.shape,
    data: tensor.data.map(x => (Number.isFinite(x) ? x : String(x))),
  })
  const candidate = { output: finite(output), logsumexp: finite(logsumexp), grads }
  // the kernel sums otherwise than the baseline, and the tensors are small: by luck one may be better
  const rule = { kind: 'baseline', factor: 4 }
  const answer = await post(server, '/v1/compare', { endpoint: '/v1/attention', body, candidate, rule })
  expect([answer.status, answer.body.detail]).toEqual([200, undefined])
  return answer.body
}

describe('the kernel itself', () => {
  it.each(Object.entries(CASES))('passes: %s', async (_, one) => {
    const { verdict, tensors } = await compared(one)
    const failed = Object.entries<{ verdict: string }>(tensors).filter(([, each]) => each.verdict === 'fail')
    expect([verdict, failed]).toEqual(['pass', []])
  })
})

describe('a mutant', () => {
  it('is there of every mistake', () => {
    expect(MUTANTS.map(([mistake]) => mistake)).toEqual([...MISTAKES])
    expect(MISTAKES.length).toBeGreaterThanOrEqual(40)
  })

  it.each(MUTANTS)('%s (%s)', async (mistake, name, says) => {
    const { verdict, diagnosis, not_tried: left } = await compared(CASES[name], mistake)
    expect([verdict, left]).toEqual(['fail', undefined])
    if (says === NOWHERE) {
      expect(diagnosis).toEqual([])
      return
    }
    expect(diagnosis[0].says.slice(0, says.length)).toBe(says)
    expect(diagnosis[0].explains).toBe(1)
  })
})
