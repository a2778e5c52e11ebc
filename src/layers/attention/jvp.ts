/** `jvp`: what output, weights and logsumexp do as the inputs move in given directions (forward-mode derivatives). */
import * as z from 'zod'
import type { Ref } from '../../../workers/contract.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import type { TensorKinds } from '../../formats/tensor-fields.ts'
import { fieldsProblem } from '../../problem.ts'
import { expectShape, inRank } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import type { Rows } from './heads-first.ts'
import { type AttentionState, attentionTangents, ofRows } from './index.ts'
import { wholeMap } from './packed-softmax.ts'
import type { InputTangents, ResultName } from './tangents.ts'
import { attentionKind, VARIANTS, type VariantOptions } from './variants/index.ts'
import type { Variant } from './variants/variant.ts'

const INPUTS = ['q', 'k', 'v', 'mask', 'sinks'] as const
const RESULTS: readonly ResultName[] = ['output', 'weights', 'logsumexp']

type InputName = (typeof INPUTS)[number]
type Tangents = { [N in InputName]?: TensorSource | undefined }

export function jvpField(tensors: TensorKinds) {
  const tangent = (what: string) => tensors.values.optional().describe(what)
  return z
    .strictObject({
      q: tangent('in q’s shape'),
      k: tangent('in k’s shape'),
      v: tangent('in v’s shape'),
      mask: tangent('in the shape of the float mask; not looked at where that is −∞'),
      sinks: tangent('[H]'),
    })
    .refine(value => INPUTS.some(name => value[name] !== undefined), {
      error: `expected at least one of ${INPUTS.slice(0, -1).join(', ')} and ${INPUTS.at(-1)}, got none`,
    })
    .describe(
      'Forward mode: tangents of the inputs, of which one suffices; those left out are 0, as those of the past and of ' +
        'relative_bias.table are. The answer has `jvp.output`, `jvp.weights` (before dropout, whose drops stay) and `jvp.logsumexp`, those ' +
        'of `return`: their derivatives in that direction. With attention_kind softmax, local or block.',
    )
}

interface JvpRequest extends Tangents, VariantOptions {
  q: TensorSource
  k: TensorSource
  v: TensorSource
  return: readonly string[]
}

/** Throws the 400 that names the tangent, and what it may not stand beside or is not shaped like. */
export function refuseJvp(jvp: Tangents, request: JvpRequest): void {
  const both = (pointer: string, other: string, message: string) => {
    throw fieldsProblem('INVALID_REQUEST', [
      { path: pointer, message },
      { path: other, message },
    ])
  }
  const { kind } = attentionKind(request.attention_kind)
  if (!(VARIANTS[kind] as Variant).jvp) {
    const named = Object.entries(VARIANTS as Record<string, Variant>).flatMap(([name, { jvp }]) =>
      jvp ? name : [],
    )
    both(
      '/jvp',
      '/attention_kind',
      `expected an attention_kind that has tangents (${named.join(', ')}) beside jvp, got "${kind}"`,
    )
  }
  if (!RESULTS.some(name => request.return.includes(name))) {
    both('/jvp', '/return', `expected one of ${RESULTS.join(', ')} in return beside jvp, got none`)
  }
  const { mask, sinks } = request
  if (jvp.mask !== undefined && (mask === undefined || mask.dtype === 'bool')) {
    const found = mask === undefined ? 'none' : 'a bool mask'
    both('/jvp/mask', '/mask', `expected a float mask beside its tangent, got ${found}`)
  }
  if (jvp.sinks !== undefined && sinks === undefined) {
    both('/jvp/sinks', '/sinks', 'expected sinks beside their tangent, got none')
  }
  for (const name of INPUTS) {
    const [tangent, input] = [jvp[name], request[name]]
    if (tangent !== undefined && input !== undefined) expectShape(`/jvp/${name}`, tangent, input.shape)
  }
}

/** Rows of q and of k as the client has them. */
interface Sides {
  ofQ: Rows
  ofK: Rows
}

/** Answers the tangents of what is asked for of output, weights and logsumexp. `refuseJvp` has been asked. */
export function answerJvp(
  p: RequestProgram,
  jvp: Tangents,
  names: readonly string[],
  state: AttentionState,
  { ofQ, ofK }: Sides,
): void {
  const { plan } = state
  const { geometry: g, headsFirst, packed } = plan
  const given: InputTangents = {}
  for (const name of INPUTS) {
    const source = jvp[name]
    if (source !== undefined) given[name] = p.input(`/jvp/${name}`, source)
  }
  if (headsFirst !== undefined && packed === undefined) {
    // packed sequences go through the stages before this is done
    const turned = (x: Ref | undefined, rows: Rows, dim: number) => x && headsFirst.read(x, rows, dim)
    given.q = turned(given.q, ofQ, g.dimK)
    given.k = turned(given.k, ofK, g.dimK)
    given.v = turned(given.v, ofK, g.dimV)
  }
  const wanted = RESULTS.filter(name => names.includes(name))
  const { output, weights, logsumexp } = attentionTangents(p, state, given, wanted)
  if (output !== undefined) {
    const shape = headsFirst?.shape(ofQ, g.dimV) ?? inRank(g, g.queries, g.dimV)
    p.output('jvp.output', headsFirst?.write(output, ofQ, g.dimV) ?? output, shape)
  }
  if (weights !== undefined) {
    const whole = packed === undefined ? weights : wholeMap(p, packed, weights, false)
    p.output('jvp.weights', whole, inRank(g, g.queries, g.keys))
  }
  if (logsumexp !== undefined) p.output('jvp.logsumexp', ofRows(plan, logsumexp), inRank(g, g.queries))
}
