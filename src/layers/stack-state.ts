/** `state` of a stack: what the keys and values of earlier positions have left in every layer, and how many positions there were. */
import type { Ref } from '../../workers/contract.ts'
import { jsonPointer } from '../../workers/text/json-pointer.ts'
import type { TensorSource } from '../formats/tensor.ts'
import { fieldProblem, fieldsProblem } from '../problem.ts'
import type { AttentionState } from './attention/index.ts'
import { readIntegers } from './attention/lengths.ts'
import { stateInputs, stateOutputs } from './attention/state.ts'
import { type AttentionKind, VARIANTS } from './attention/variants/index.ts'
import type { Variant } from './attention/variants/variant.ts'
import { expectShape, type Geometry } from './geometry.ts'
import type { OutputTensor } from './outputs.ts'
import type { RequestProgram } from './program-builder.ts'
import type { StackRequest } from './stack-fields.ts'

export interface CarriedState {
  /** of each layer, where there is one */
  layers: Record<string, Ref>[]
  /** where the first of the new positions stands */
  position: number
}

const POSITION = 'position'

export function carriedState(
  p: RequestProgram,
  { stack, state }: { stack: StackRequest; state?: Record<string, TensorSource> | undefined },
  kind: AttentionKind,
  g: Geometry,
): CarriedState {
  if (state === undefined) return { layers: [], position: 0 }
  // a kind without a state is refused where its plan is made
  if ((VARIANTS[kind.kind] as Variant).state === undefined) return { layers: [], position: 0 }
  refuseStateBeside(stack, kind, '/state')
  const layers: Record<string, Ref>[] = []
  const known = new Set([POSITION])
  for (let layer = 0; layer < stack.layers; layer++) {
    const prefix = `layers.${layer}.`
    const own = Object.entries(state).filter(([name]) => name.startsWith(prefix))
    const sources = Object.fromEntries(own.map(([name, source]) => [name.slice(prefix.length), source]))
    const found = stateInputs(p, kind, sources, g, name => `/state${jsonPointer(prefix + name)}`)
    for (const name of Object.keys(found)) known.add(prefix + name)
    layers.push(found)
  }
  const unknown = Object.keys(state).find(name => !known.has(name))
  if (unknown !== undefined) {
    throw fieldProblem('INVALID_REQUEST', `/state${jsonPointer(unknown)}`, 'expected no such tensor, got one')
  }
  return { layers, position: positionOf(state[POSITION]) }
}

/** A tensor that is only a shape (a plan) says nothing of it. */
function positionOf(source: TensorSource | undefined): number {
  const pointer = `/state/${POSITION}`
  if (source === undefined) throw fieldProblem('INVALID_REQUEST', pointer, 'expected a tensor, got nothing')
  expectShape(pointer, source, [1])
  if (source.form === 'shape') return 0
  const { values, fault } = readIntegers(source)
  if (fault === undefined && values[0] >= 0) return values[0]
  const found = fault?.found ?? String(values[0])
  throw fieldProblem('INVALID_TENSOR', pointer, `expected a number of positions, got ${found}`)
}

/** Positions that come later must not change what earlier ones left. */
export function refuseStateBeside(stack: StackRequest, kind: AttentionKind, pointer: string): void {
  if (stack.causal || (VARIANTS[kind.kind] as Variant).causal) return
  const message = 'expected a causal stack beside state, got stack/causal false'
  throw fieldsProblem('INVALID_REQUEST', [
    { path: pointer, message },
    { path: '/stack/causal', message },
  ])
}

/** `state` of a layer, below `prefix`. */
export function layerStateOutputs(
  { attended, plan: { kind, geometry } }: AttentionState,
  layer: number,
  prefix = '',
): OutputTensor[] {
  return stateOutputs(kind, geometry, attended.state, `${prefix}state.layers.${layer}.`)
}

/** How many positions there have been, those of this request counted. */
export function positionOutput(p: RequestProgram, positions: number, prefix = ''): OutputTensor {
  const buffer = p.buffer({ type: 'float64', length: 1, data: [positions] })
  return { name: `${prefix}state.${POSITION}`, buffer, shape: [1], dtype: 'float64' }
}
