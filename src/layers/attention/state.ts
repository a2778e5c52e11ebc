/** `state`: what an earlier request has left of its keys and values, for kinds of attention that need no more of them. */
import * as z from 'zod'
import type { Ref } from '../../../workers/contract.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import type { TensorKinds } from '../../formats/tensor-fields.ts'
import { fieldProblem } from '../../problem.ts'
import { expectShape, type Geometry, inRank } from '../geometry.ts'
import type { OutputTensor } from '../outputs.ts'
import type { RequestProgram } from '../program-builder.ts'
import { type AttentionKind, VARIANTS } from './variants/index.ts'
import type { Variant } from './variants/variant.ts'

export type StateSources = Record<string, TensorSource | undefined>

export function stateFields(tensors: TensorKinds) {
  return {
    state: z
      .strictObject({ s: tensors.values.optional().describe('[B, H_kv, d_k, d_v]') })
      .optional()
      .describe(
        'What the keys and values of earlier requests have left, as `"return":["state"]` gives it: for `gated`, `delta`, `gated_delta` ' +
          'and `linear` with `feature` `relu` or `identity`. Tokens in several requests, each with the state that the one before it ' +
          'has answered, give the same bits as in one. rope’s offsets are the request’s own to say.',
      ),
  }
}

/** Its shapes by name, in the request’s rank. */
function shapesOf(kind: AttentionKind, g: Geometry): Record<string, number[]> {
  const shapes = (VARIANTS[kind.kind] as Variant).state?.(kind, g) ?? {}
  const kv = { ...g, heads: g.kvHeads }
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, inRank(kv, ...shape)]))
}

/** `pointerOf`: where a tensor of the state stands. */
export function stateInputs(
  p: RequestProgram,
  kind: AttentionKind,
  sources: StateSources,
  g: Geometry,
  pointerOf = (name: string) => `/state/${name}`,
): Record<string, Ref> {
  const entries = Object.entries(shapesOf(kind, g)).map(([name, shape]) => {
    const source = sources[name]
    const pointer = pointerOf(name)
    if (source === undefined) throw fieldProblem('INVALID_REQUEST', pointer, 'expected a tensor, got nothing')
    expectShape(pointer, source, shape)
    return [name, p.input(pointer, source)] as const
  })
  return Object.fromEntries(entries)
}

/** What attention has left, below `prefix`. */
export function stateOutputs(
  kind: AttentionKind,
  g: Geometry,
  state: Record<string, Ref> = {},
  prefix = 'state.',
): OutputTensor[] {
  return Object.entries(shapesOf(kind, g)).map(([name, shape]) => {
    return { name: prefix + name, buffer: state[name], shape }
  })
}
