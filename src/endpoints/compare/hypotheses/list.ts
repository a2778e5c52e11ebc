/** The usual mistakes, in the order in which they are tried and, where they explain the same, named. A new one is a file and a line. */

import { readDialect } from '../../../layers/attention/dialects/read.ts'
import type { Spoken } from '../../../layers/attention/dialects/spoken.ts'
import { isSpan } from '../../../layers/attention/masks/window.ts'
import type { CompareRequest } from '../request.ts'
import { alibi } from './alibi.ts'
import { backward } from './backward.ts'
import { causal } from './causal.ts'
import { dropout } from './dropout.ts'
import { emptyRows } from './empty-rows.ts'
import { gradientScale } from './gradient-scale.ts'
import { groupSum } from './group-sum.ts'
import type { AttentionBody, Hypothesis, Hypothesise, Patch } from './hypothesis.ts'
import { ignored } from './ignored.ts'
import { kvHeads } from './kv-heads.ts'
import { layout } from './layout.ts'
import { logsumexp } from './logsumexp.ts'
import { mask } from './mask.ts'
import { rope } from './rope.ts'
import { scale } from './scale.ts'
import { softcap } from './softcap.ts'
import { swapped } from './swapped.ts'
import { window } from './window.ts'

const HYPOTHESES: readonly Hypothesise[] = [
  causal,
  scale,
  window,
  ignored,
  softcap,
  mask,
  alibi,
  rope,
  layout,
  kvHeads,
  swapped,
  logsumexp,
  dropout,
  emptyRows,
  gradientScale,
  groupSum,
  backward,
]

/** Endpoints whose bodies have the options of attention at their top. */
const ATTENDING = ['/v1/attention', '/v1/self-attention', '/v1/multi-head-attention']

/** Of a stack, whose options stand in `stack` or beside it. */
const OF_STACKS: readonly Hypothesise[] = [causal, window, ignored, rope, backward]

export function hypothesesOf(request: CompareRequest): Hypothesis[] {
  const body = inOurWords(request.body)
  if (ATTENDING.includes(request.endpoint.path)) {
    return HYPOTHESES.flatMap(hypothesise => hypothesise(body, request))
  }
  if (request.endpoint.path !== '/v1/transformer') return []
  const { stack, ...beside } = body
  // a list by layer is no option of one attention
  const options = Object.entries(stack as object).filter(([, value]) => !Array.isArray(value))
  const own: AttentionBody = { ...Object.fromEntries(options), ...beside }
  return OF_STACKS.flatMap(hypothesise => hypothesise(own, request)).map(hypothesis => ({
    ...hypothesis,
    change: hypothesis.change && inStack(hypothesis.change, request.tree),
  }))
}

/** The change of an option, where the body has it; in the stack where it has none. */
function inStack(change: Patch, tree: Record<string, unknown>): Patch {
  const entries = Object.entries(change)
  const beside = entries.filter(([field]) => field in tree)
  const within = entries.filter(([field]) => !(field in tree))
  return {
    ...Object.fromEntries(beside),
    ...(within.length > 0 && { stack: Object.fromEntries(within) }),
  }
}

/** What hypotheses look at is said in our own fields; a window of a library's form cannot be patched side by side. */
function inOurWords(body: Spoken): AttentionBody {
  if (body.dialect === undefined) return body as AttentionBody
  const { request } = readDialect(body)
  return { ...request, window: isSpan(body.window) ? undefined : request.window } as AttentionBody
}
