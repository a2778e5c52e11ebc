/** A run of `GET /v1/stream` → a program with a barrier behind every layer of every pass, and what leaves there. */

import type { Ref } from '../../workers/contract.ts'
import { inOurs } from '../layers/attention/dialects/compile.ts'
import { exactError } from '../layers/attention/exact-error.ts'
import { type AttentionState, crossNames } from '../layers/attention/index.ts'
import type { MapName } from '../layers/attention/softmax.ts'
import { type AttentionKind, refusedBy } from '../layers/attention/variants/index.ts'
import { weightGradient } from '../layers/attention/weight-gradient.ts'
import { compileModel, type Role, runModel } from '../layers/encoder-decoder.ts'
import type { Geometry } from '../layers/geometry.ts'
import type { MultiHeadState } from '../layers/multi-head.ts'
import type { FramePlace, OutputTensor } from '../layers/outputs.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { sequenceShape } from '../layers/sequence.ts'
import {
  BIAS_TABLE,
  backwardLayer,
  beginForward,
  endForward,
  forwardLayer,
  type Rows,
  type StackBackward,
  type StackState,
} from '../layers/stack.ts'
import { presentOutputs } from '../layers/stack-past.ts'
import type { CompiledStack } from '../layers/stack-request.ts'
import { layerStateOutputs, positionOutput, refuseStateBeside } from '../layers/stack-state.ts'
import type { Detail } from '../layers/thumbnails.ts'
import { fieldProblem } from '../problem.ts'
import type { Compilable } from './endpoint.ts'
import { type Chosen, chosenHeads, mapOutputs, rowOutput } from './layer-maps.ts'
import { checkResume } from './resume-place.ts'
import { StartMessage } from './stream-messages.ts'

/** What runs over the stream: of a stack, or of a model. */
export interface StreamRun<R> extends Compilable<R> {
  /** what `accepted` says of it */
  accepted(message: R): { layers: number; tokens?: object }
}

export const STREAM_RUN: StreamRun<StartMessage> = {
  request: StartMessage,
  accepted: ({ stack }) => ({ layers: stack.layers }),
  layers: ({ stack, encoder }) => stack.layers + (encoder?.stack.layers ?? 0),
  compile: compileRun,
}

function* compileRun(p: RequestProgram, given: StartMessage): Generator<void> {
  const request = given.dialect === undefined ? given : inOurs(p, given)
  const model = yield* compileModel(p, request)
  refuseEmits(request, model.decoder.plan.kind)
  const emits = new Set<string>(request.emit)
  const frames = {
    decoder: framesOf(request, 'decoder', model.decoder),
    ...(model.encoder && { encoder: framesOf(request, 'encoder', model.encoder) }),
  } as Record<Role, Frames>
  yield* runModel(p, request, model, {
    entropy: emits.has('entropy') || emits.has('cross_entropy'),
    paramGradients: false,
    wants: (role, param) => emits.has('grad_params') && frames[role].has(frames[role].layerOf(param)),
    forward: (role, stack, rows) => forward(p, frames[role], stack, rows),
    backward: (role, stack, state, gradients) => backward(p, frames[role], stack, state, gradients),
  })
  checkResume(p.barriers, request.resume)
}

/** What the frames of a stack hold. */
interface Frames {
  /** of frames and maps; the decoder's need not say so */
  of: Pick<FramePlace, 'stack'>
  emits: ReadonlySet<string>
  detail: Detail | undefined
  /** whether the entropy is part of the loss */
  entropyWeighs: boolean
  /** Are this layer's wanted? */
  has(layer: number): boolean
  /** The layer whose frame a parameter's gradient stands in. */
  layerOf(param: string): number
  chosen(geometry: Geometry): Chosen
}

/** `layers` and `heads` choose among the decoder's; of an encoder there are all. */
function framesOf(request: StartMessage, role: Role, { shape }: CompiledStack): Frames {
  const { layers, heads } = role === 'decoder' ? request : {}
  const chosenLayers = layers && new Set(layers)
  return {
    of: role === 'decoder' ? {} : { stack: role },
    emits: new Set<string>(
      role === 'decoder' ? request.emit : request.emit.filter(name => !DECODERS_OWN.test(name)),
    ),
    detail: request.detail,
    entropyWeighs: (request.backward?.entropy_weight ?? 0) !== 0,
    has: layer => chosenLayers?.has(layer) ?? true,
    layerOf: param => layerOf(param, shape.layers),
    chosen: geometry => chosenHeads(heads, geometry),
  }
}

/** Behind the last layer comes the last norm; what all layers share is complete with the first. */
function layerOf(param: string, layers: number): number {
  return param === BIAS_TABLE ? 0 : Number(/^layers\.(\d+)\./.exec(param)?.[1] ?? layers - 1)
}

/** What an encoder does not have. */
const DECODERS_OWN = /cross_|^present$|^state$/

function* forward(
  p: RequestProgram,
  frames: Frames,
  { x, positions, inputs, shape, params }: CompiledStack,
  rows: Rows,
): Generator<void, StackState> {
  const names = [...frames.emits]
  const [maps, crossMaps] = [mapNames(names), mapNames(crossNames(names))]
  const outputShape = sequenceShape(x, x.positions, x.dim)
  const state = beginForward(
    p,
    shape,
    inputs,
    params,
    {
      entropy: rows.rows.entropy !== undefined,
      maps: layer => (frames.has(layer) ? maps : []),
      crossMaps: layer => (frames.has(layer) ? crossMaps : []),
    },
    rows,
  )
  for (let layer = 0; layer < shape.layers; layer++) {
    const { attention, cross, output } = forwardLayer(p, state, layer)
    const { exact } = attention.attention.plan
    if (exact !== undefined) exactError(p, attention.attention, exact, `layers.${layer}.`)
    const at = { pass: 'forward', ...frames.of, layer } as const
    const outputs: OutputTensor[] = []
    if (frames.has(layer)) {
      if (frames.emits.has('output'))
        outputs.push({ name: 'tensors.output', buffer: output, shape: outputShape })
      outputs.push(...attentionOutputs(p, frames, at, attention.attention, maps, ''))
      if (cross !== undefined) {
        outputs.push(...attentionOutputs(p, frames, at, cross.attention, crossMaps, 'cross_'))
      }
      if (frames.emits.has('state'))
        outputs.push(...layerStateOutputs(p, attention.attention, layer, 'tensors.'))
      if (frames.emits.has('present')) outputs.push(...presentOutputs(attention.attention, layer, 'tensors.'))
    }
    p.barrier(at, outputs)
    yield
  }
  endForward(p, state)
  if (frames.emits.has('state')) {
    const { name, buffer, shape, dtype } = positionOutput(p, positions)
    p.output(name, buffer, shape, undefined, dtype)
  }
  p.output(frames.of.stack === undefined ? 'output' : 'encoder.output', state.output, outputShape)
  return state
}

/** Maps and rows of one attention. */
function attentionOutputs(
  p: RequestProgram,
  frames: Frames,
  at: FramePlace,
  { plan, attended: { written, entropy, logsumexp } }: AttentionState,
  maps: MapName[],
  prefix: '' | 'cross_',
): OutputTensor[] {
  const { emits, detail } = frames
  const chosen = frames.chosen(plan.geometry)
  const rows = Object.entries({ entropy, logsumexp }).filter(([name]) => emits.has(prefix + name))
  return [
    ...maps.flatMap(name => mapOutputs(p, chosen, detail, at, prefix + name, written[name] as Ref)),
    ...rows.map(([name, ref]) => rowOutput(p, chosen, prefix + name, ref as Ref)),
  ]
}

function* backward(
  p: RequestProgram,
  frames: Frames,
  { x, shape, taken }: CompiledStack,
  state: StackState,
  gradients: StackBackward,
): Generator<void, void> {
  const ofLayers = Map.groupBy(taken, ({ name }) => frames.layerOf(name))
  const { emits } = frames
  for (let layer = shape.layers - 1; layer >= 0; layer--) {
    const { block, gradOutput, gradients: ofLayer } = backwardLayer(p, state, gradients, layer)
    const at = { pass: 'backward', ...frames.of, layer } as const
    const outputs: OutputTensor[] = []
    if (frames.has(layer) && emits.has('grad_output')) {
      const outputShape = sequenceShape(x, x.positions, x.dim)
      outputs.push({ name: 'tensors.grad_output', buffer: gradOutput, shape: outputShape })
    }
    const gradWeights = (name: string, of: MultiHeadState | undefined, heads: Ref | undefined) => {
      if (!frames.has(layer) || !emits.has(name) || of === undefined) return
      const { attended, plan } = of.attention
      const scalars = frames.entropyWeighs ? gradients.scalars : undefined
      const gradient = weightGradient(p, attended, heads as Ref, scalars)
      outputs.push(...mapOutputs(p, frames.chosen(plan.geometry), frames.detail, at, name, gradient))
    }
    gradWeights('grad_weights', block.attention, ofLayer.heads)
    gradWeights('grad_cross_weights', block.cross, ofLayer.crossHeads)
    for (const param of ofLayers.get(layer) ?? []) {
      const buffer = gradients.params.get(param.name)
      if (buffer === undefined) continue
      outputs.push({ name: `tensors.grad_params.${param.name}`, buffer, shape: param.shape })
    }
    p.barrier(at, outputs)
    yield
  }
}

/** Of those names the maps of a forward pass. */
function mapNames(names: readonly string[]): MapName[] {
  return (['weights', 'scores'] satisfies MapName[]).filter(name => names.includes(name))
}

/** What has no scores has no maps and rows; cross-attention has them. */
function refuseEmits(request: StartMessage, kind: AttentionKind): void {
  const { emit } = request
  const state = emit.indexOf('state')
  if (state >= 0) refuseStateBeside(request, kind, `/emit/${state}`)
  if (!refusedBy(kind).returns.includes('weights')) return
  const has = ['output', 'grad_output', 'grad_params', 'state']
  const at = emit.findIndex(name => !has.includes(name) && !name.includes('cross_'))
  if (at < 0) return
  const message = `expected what "attention_kind":"${kind.kind}" has (${has.join(', ')}), got "${emit[at]}"`
  throw fieldProblem('INVALID_REQUEST', `/emit/${at}`, message)
}
