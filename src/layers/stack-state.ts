/** `state` of a stack: what the keys and values of earlier positions have left in every layer, and how many positions there were. */
import { jsonPointer } from '../../workers/text/json-pointer.ts'
import type { TensorSource } from '../formats/tensor.ts'
import { bothProblem, fieldProblem, fieldsProblem } from '../problem.ts'
import type { AttentionState } from './attention/index.ts'
import { readIntegers } from './attention/lengths.ts'
import { type GivenState, type StateRefs, stateInputs, stateOutputs } from './attention/state.ts'
import { type AttentionKind, refuseBesideState, VARIANTS } from './attention/variants/index.ts'
import type { Variant } from './attention/variants/variant.ts'
import { expectShape, type Geometry } from './geometry.ts'
import type { OutputTensor } from './outputs.ts'
import type { RequestProgram } from './program-builder.ts'
import type { StackRequest } from './stack-fields.ts'

/** In the place of a past. */
export interface CarriedState extends Pick<GivenState, 'given' | 'length' | 'differentiable'> {
  layers: StateRefs[]
  /** where the first of the new positions stands */
  position: number
}

const POSITION = 'position'

export function carriedState(
  p: RequestProgram,
  request: { stack: StackRequest; state: Record<string, TensorSource>; past?: unknown },
  kind: AttentionKind,
  g: Geometry,
): CarriedState {
  const { stack, state, past } = request
  if (past !== undefined) throw bothProblem('', 'state', 'past')
  refuseStateBeside(request, kind, '/state')
  const found: CarriedState = { given: false, length: 0, differentiable: {}, layers: [], position: 0 }
  const known = new Set([POSITION])
  for (let layer = 0; layer < stack.layers; layer++) {
    const prefix = `layers.${layer}.`
    const own = Object.entries(state).filter(([name]) => name.startsWith(prefix))
    for (const [name] of own) known.add(name)
    const sources = Object.fromEntries(own.map(([name, source]) => [name.slice(prefix.length), source]))
    const pointerOf = (name: string) => `/state${jsonPointer(prefix + name)}`
    const { given, length, refs } = stateInputs(p, kind, sources, g, pointerOf)
    if (layer === 0) Object.assign(found, { given, length })
    if (length !== found.length) {
      const message = `expected ${found.length} positions as in layers.0.k, got ${length}`
      throw fieldProblem('SHAPE_MISMATCH', pointerOf('k'), message)
    }
    found.layers.push(refs)
  }
  const unknown = Object.keys(state).find(name => !known.has(name))
  if (unknown !== undefined) {
    throw fieldProblem('INVALID_REQUEST', `/state${jsonPointer(unknown)}`, 'expected no such tensor, got one')
  }
  return { ...found, position: positionOf(state[POSITION]) }
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

/** Positions that come later must not change what earlier ones left. `pointer`: where a state is given, or asked for. */
export function refuseStateBeside(
  request: { stack: StackRequest },
  kind: AttentionKind,
  pointer: string,
): void {
  refuseBesideState(kind, request, pointer)
  if (request.stack.causal || (VARIANTS[kind.kind] as Variant).causal) return
  const message = 'expected a causal stack beside state, got stack/causal false'
  throw fieldsProblem('INVALID_REQUEST', [
    { path: pointer, message },
    { path: '/stack/causal', message },
  ])
}

/** `state` of a layer, below `prefix`. */
export function layerStateOutputs(
  p: RequestProgram,
  state: AttentionState,
  layer: number,
  prefix = '',
): OutputTensor[] {
  return stateOutputs(p, state, `${prefix}state.layers.${layer}.`)
}

/** How many positions there have been, those of this request counted. */
export function positionOutput(p: RequestProgram, positions: number, prefix = ''): OutputTensor {
  const buffer = p.buffer({ type: 'float64', length: 1, data: [positions] })
  return { name: `${prefix}state.${POSITION}`, buffer, shape: [1], dtype: 'float64' }
}
