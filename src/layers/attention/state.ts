/** `state`: what an earlier request has left of its keys and values, for kinds of attention that need no more of them. */
import * as z from 'zod'
import type { Ref } from '../../../workers/contract.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import type { TensorKinds } from '../../formats/tensor-fields.ts'
import { bothProblem, fieldProblem } from '../../problem.ts'
import { expectShape, type Geometry, inRank } from '../geometry.ts'
import type { OutputTensor } from '../outputs.ts'
import type { RequestProgram } from '../program-builder.ts'
import type { Past } from './stages/past.ts'
import type { AttentionFlow, AttentionPlan } from './stages/stage.ts'
import {
  type AttentionKind,
  attentionKind,
  type KindField,
  refuseBesideState,
  VARIANTS,
} from './variants/index.ts'
import type { Attended, StateTensor, Variant } from './variants/variant.ts'

export type StateSources = Record<string, TensorSource | undefined>

export function stateFields(tensors: TensorKinds) {
  return {
    state: z
      .strictObject({
        s: tensors.values.optional().describe('[B, H_kv, d_k, d_v]'),
        sums: tensors.values
          .optional()
          .describe(
            '[B, H_kv, d_k·(d_v + 2)], float64, of `elu1`: sums over whole chunks of 96 keys, with their scales',
          ),
        k: tensors.values.optional().describe('[B, H_kv, R, d_k], of `elu1`: the R < 96 keys behind them'),
        v: tensors.values.optional().describe('[B, H_kv, R, d_v], their values'),
      })
      .optional()
      .describe(
        'What the keys and values of earlier requests have left, as `"return":["state"]` gives it: `s` for `gated`, `delta`, `gated_delta` ' +
          'and `linear` with `feature` `relu` or `identity`; `sums`, `k` and `v` for `linear` with `elu1`, whose state has no gradient and does not ' +
          'stand beside lengths. Tokens in several requests, each with the state that the one before it ' +
          'has answered, give the same bits as in one. rope’s offsets are the request’s own to say. Not beside a past.',
      ),
  }
}

/** Its tensors behind that many keys, in the request’s rank. */
function tensorsOf(kind: AttentionKind, g: Geometry): Record<string, StateTensor> {
  const tensors = (VARIANTS[kind.kind] as Variant).state?.(kind, g) ?? {}
  const kv = { ...g, heads: g.kvHeads }
  const whole = ([name, { shape, dtype }]: [string, StateTensor]) => {
    return [name, { shape: inRank(kv, ...shape), ...(dtype && { dtype }) }]
  }
  return Object.fromEntries(Object.entries(tensors).map(whole))
}

/** What a state gives attention: keys and values that go before the new ones, and the rest. */
export type StateRefs = Pick<AttentionFlow, 'pastK' | 'pastV' | 'state'>

export interface GivenState extends Pick<Past, 'given' | 'length' | 'differentiable'> {
  refs: StateRefs
}

/** `pointerOf`: where a tensor of the state stands. `g`: of the new keys. */
export function stateInputs(
  p: RequestProgram,
  kind: AttentionKind,
  sources: StateSources,
  g: Geometry,
  pointerOf = (name: string) => `/state/${name}`,
): GivenState {
  const length = sources.k?.shape.at(-2) ?? 0
  const entries = Object.entries(tensorsOf(kind, { ...g, keys: length }))
  const found = entries.map(([name, { shape, dtype }]) => {
    const source = sources[name]
    const pointer = pointerOf(name)
    if (source === undefined) throw fieldProblem('INVALID_REQUEST', pointer, 'expected a tensor, got nothing')
    expectShape(pointer, source, shape)
    return [name, dtype === undefined ? p.input(pointer, source) : p.inputDouble(pointer, source)]
  })
  const unknown = Object.keys(sources).find(name => !entries.some(([known]) => known === name))
  if (unknown !== undefined) {
    throw fieldProblem('INVALID_REQUEST', pointerOf(unknown), 'expected no such tensor, got one')
  }
  const { k, v, ...state }: Record<string, Ref> = Object.fromEntries(found)
  return { given: k !== undefined, length, refs: { pastK: k, pastV: v, state }, differentiable: {} }
}

/** In the place of a past. */
export function pastOfState(
  p: RequestProgram,
  request: {
    attention_kind?: KindField | undefined
    state?: StateSources | undefined
    past_k?: unknown
    past_v?: unknown
  },
  g: Geometry,
): GivenState {
  const { attention_kind, state = {} } = request
  for (const name of ['past_k', 'past_v'] as const) {
    if (request[name] !== undefined) throw bothProblem('', 'state', name)
  }
  const kind = attentionKind(attention_kind)
  refuseBesideState(kind, request, '/state')
  return stateInputs(p, kind, state, g)
}

/** What attention has left, below `prefix`. */
export function stateOutputs(
  p: RequestProgram,
  { attended, plan: { kind, geometry } }: { attended: Attended; plan: AttentionPlan },
  prefix = 'state.',
): OutputTensor[] {
  const refs = attended.state?.(p) ?? {}
  return Object.entries(tensorsOf(kind, geometry)).map(([name, tensor]) => {
    return { name: prefix + name, buffer: refs[name], ...tensor }
  })
}
