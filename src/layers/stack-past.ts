/** `past` of a stack: keys and values of every layer for the positions before x, and `present`, the same with those of x. */
import type { Ref } from '../../workers/contract.ts'
import { jsonPointer } from '../../workers/text/json-pointer.ts'
import { fieldProblem, fieldsProblem } from '../problem.ts'
import type { AttentionState } from './attention/index.ts'
import { NO_PAST, type Past, pastInputs } from './attention/stages/past.ts'
import { type Geometry, inRank } from './geometry.ts'
import type { Differentiable } from './gradients.ts'
import type { OutputTensor } from './outputs.ts'
import type { RequestProgram } from './program-builder.ts'
import type { Given } from './sequence.ts'
import type { LayerPast } from './stack.ts'
import type { StackRequest } from './stack-fields.ts'

export interface StackPast extends Pick<Past, 'given' | 'length'> {
  layers: LayerPast[]
  /** what `wrt` may name */
  differentiable: Differentiable
}

/** Those of all layers, of one length. */
export function stackPast(
  p: RequestProgram,
  { stack, past }: { stack: StackRequest; past?: Record<string, Given> | undefined },
  g: Geometry,
): StackPast {
  const found: StackPast = { ...NO_PAST, layers: [], differentiable: {} }
  if (past === undefined) return found
  refuseNonCausal(stack, '/past', 'past')
  for (let layer = 0; layer < stack.layers; layer++) {
    const names = [`layers.${layer}.k`, `layers.${layer}.v`]
    const pointers = names.map(name => `/past${jsonPointer(name)}`)
    for (const [side, name] of names.entries()) {
      if (past[name] !== undefined) continue
      throw fieldProblem('INVALID_REQUEST', pointers[side], 'expected a tensor, got nothing')
    }
    const [past_k, past_v] = names.map(name => past[name])
    const { length, refs } = pastInputs(p, { past_k, past_v }, g, pointers)
    if (layer === 0) found.length = length
    if (length !== found.length) {
      const message = `expected ${found.length} positions as in layers.0.k, got ${length}`
      throw fieldProblem('SHAPE_MISMATCH', pointers[0], message)
    }
    found.layers.push(refs)
    for (const name of names) found.differentiable[`past.${name}`] = false
  }
  const unknown = Object.keys(past).find(name => found.differentiable[`past.${name}`] === undefined)
  if (unknown !== undefined) {
    throw fieldProblem('INVALID_REQUEST', `/past${jsonPointer(unknown)}`, 'expected no such tensor, got one')
  }
  return { ...found, given: true }
}

/** Positions that come later must not change what earlier ones left. */
export function refuseNonCausal(stack: StackRequest, pointer: string, name: string): void {
  if (stack.causal) return
  const message = `expected a causal stack beside ${name}, got stack/causal false`
  throw fieldsProblem('INVALID_REQUEST', [
    { path: pointer, message },
    { path: '/stack/causal', message },
  ])
}

/** `present` of a layer, below `prefix`. */
export function presentOutputs(
  { presentK, presentV, plan: { geometry: g } }: AttentionState,
  layer: number,
  prefix = '',
): OutputTensor[] {
  const kv = { ...g, heads: g.kvHeads }
  return [
    {
      name: `${prefix}present.layers.${layer}.k`,
      buffer: presentK,
      shape: inRank(kv, g.keys, g.dimK),
    },
    {
      name: `${prefix}present.layers.${layer}.v`,
      buffer: presentV,
      shape: inRank(kv, g.keys, g.dimV),
    },
  ]
}

/** Gradients by name, beside what they are of. */
export function pastGradients(
  gradients: ReadonlyMap<string, Ref>,
  past: Record<string, Given> = {},
): Record<string, [gradient: Ref | undefined, input: Given]> {
  return Object.fromEntries(
    Object.entries(past).map(([name, source]) => [`past.${name}`, [gradients.get(name), source]]),
  )
}
