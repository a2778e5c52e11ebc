/** A run of `GET /v1/stream` → a program with a barrier behind every layer of every pass, and what leaves there. */

import type { Ref } from '../../workers/contract.ts'
import { takeHeads } from '../../workers/ops/maps/op.ts'
import { exactError } from '../layers/attention/exact-error.ts'
import type { MapName } from '../layers/attention/softmax.ts'
import { weightGradient } from '../layers/attention/weight-gradient.ts'
import type { BlockState } from '../layers/block.ts'
import { type Geometry, inRank } from '../layers/geometry.ts'
import { answerGradients, GradientSet, maskGradient } from '../layers/gradients.ts'
import type { Frame, OutputTensor } from '../layers/outputs.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { sequenceShape } from '../layers/sequence.ts'
import { backwardLayer, beginBackward, beginForward, endForward, forwardLayer } from '../layers/stack.ts'
import { compileStack, stackLoss } from '../layers/stack-request.ts'
import { type Detail, thumbnails } from '../layers/thumbnails.ts'
import { fieldProblem } from '../problem.ts'
import type { Compilable } from './endpoint.ts'
import { StartMessage } from './stream-messages.ts'

export const STREAM_RUN: Compilable<StartMessage> = {
  request: StartMessage,
  layers: ({ stack }) => stack.layers,
  compile: compileRun,
}

function* compileRun(p: RequestProgram, request: StartMessage): Generator<void> {
  const compiled = yield* compileStack(p, request)
  const { x, input, plan, shape, params, taken, differentiable } = compiled
  refuseEmits(plan.kind, request.emit)
  const emits = new Set<string>(request.emit)
  const layers = new Set(request.layers ?? Array.from({ length: shape.layers }, (_, layer) => layer))
  const outputShape = sequenceShape(x, x.positions, x.dim)
  const chosen = chosenHeads(request, plan.geometry)
  const { detail } = request
  const mapNames = (['weights', 'scores'] satisfies MapName[]).filter(name => emits.has(name))

  const forward = (layer: number, { attention, output }: BlockState): OutputTensor[] => {
    if (plan.exact !== undefined) exactError(p, attention.attention, plan.exact, `layers.${layer}.`)
    if (!layers.has(layer)) return []
    const state = attention.attention.attended
    const at = { pass: 'forward', layer } as const
    return [
      ...(emits.has('output') ? [{ name: 'tensors.output', buffer: output, shape: outputShape }] : []),
      ...mapNames.flatMap(name => mapOutputs(p, chosen, detail, at, name, state.written[name] as Ref)),
      ...(emits.has('entropy') ? [rowOutput(p, chosen, 'entropy', state.entropy as Ref)] : []),
      ...(emits.has('logsumexp') ? [rowOutput(p, chosen, 'logsumexp', state.logsumexp)] : []),
    ]
  }
  const entropyWeight = request.backward?.entropy_weight ?? 0
  const state = beginForward(p, plan, shape, input, params, {
    entropy: emits.has('entropy') || entropyWeight !== 0,
    maps: layer => (layers.has(layer) ? mapNames : []),
  })
  for (let layer = 0; layer < shape.layers; layer++) {
    const block = forwardLayer(p, state, layer)
    p.barrier({ pass: 'forward', layer }, forward(layer, block))
    yield
  }
  endForward(p, state)
  p.output('output', state.output, outputShape)
  if (request.backward === undefined) return

  const loss = stackLoss(p, compiled, state, request.backward)
  const gradientSet = new GradientSet(request.backward.wrt, {
    x: true,
    mask: maskGradient(request.mask),
    sinks: request.sinks && true,
    ...differentiable,
  })
  const last = shape.layers - 1
  const layerOf = (param: string) => Number(/^layers\.(\d+)\./.exec(param)?.[1] ?? last)
  const ofLayers = Map.groupBy(taken, ({ name }) => layerOf(name))
  const gradients = beginBackward(p, state, loss.gradOutput, {
    scalars: loss.scalars,
    needs: param =>
      emits.has('grad_params') && layers.has(layerOf(param)) && gradientSet.has(`params.${param}`),
    needsMask: gradientSet.has('mask'),
    needsSinks: gradientSet.has('sinks'),
  })
  for (let layer = last; layer >= 0; layer--) {
    const { block, gradOutput, gradients: ofLayer } = backwardLayer(p, state, gradients, layer)
    const outputs: OutputTensor[] = []
    if (layers.has(layer) && emits.has('grad_output')) {
      outputs.push({ name: 'tensors.grad_output', buffer: gradOutput, shape: outputShape })
    }
    if (layers.has(layer) && emits.has('grad_weights')) {
      const scalars = entropyWeight === 0 ? undefined : loss.scalars
      const gradient = weightGradient(p, block.attention.attention.attended, ofLayer.heads, scalars)
      const at = { pass: 'backward', layer } as const
      outputs.push(...mapOutputs(p, chosen, detail, at, 'grad_weights', gradient))
    }
    for (const param of ofLayers.get(layer) ?? []) {
      const buffer = gradients.params.get(param.name)
      if (buffer === undefined) continue
      outputs.push({ name: `tensors.grad_params.${param.name}`, buffer, shape: param.shape })
    }
    p.barrier({ pass: 'backward', layer }, outputs)
    yield
  }
  answerGradients(p, {
    x: [gradientSet.has('x') ? gradients.grad : undefined, request.x],
    mask: [gradients.mask, request.mask],
    sinks: [gradients.sinks, request.sinks],
  })
}

/** The heads that frames hold. */
interface Chosen {
  geometry: Geometry
  heads: number[]
  /** whether the request has named them; otherwise they are all of the stack's */
  named: boolean
}

function chosenHeads({ heads }: StartMessage, geometry: Geometry): Chosen {
  const named = heads !== undefined
  return { geometry, heads: heads ?? Array.from({ length: geometry.heads }, (_, head) => head), named }
}

/** The chosen heads of a buffer [batch, heads, width]. */
function choose(p: RequestProgram, { geometry, heads: chosen, named }: Chosen, buffer: Ref, width: number) {
  if (!named) return buffer
  const { batch, heads } = geometry
  const y = p.buffer({ type: p.buffers[buffer].type, length: batch * chosen.length * width })
  const args = { batch, heads, chosen, width }
  p.stage(p.step(takeHeads, { x: buffer, y }, args))
  return y
}

/** A number a query: entropies, logsumexp. */
function rowOutput(p: RequestProgram, chosen: Chosen, name: string, buffer: Ref): OutputTensor {
  const { geometry, heads } = chosen
  const { queries } = geometry
  return {
    name: `tensors.${name}`,
    buffer: choose(p, chosen, buffer, queries),
    shape: inRank({ ...geometry, heads: heads.length }, queries),
  }
}

/** A map, or with `detail` its thumbnails; the map itself is then kept. */
function mapOutputs(
  p: RequestProgram,
  chosen: Chosen,
  detail: Detail | undefined,
  at: Pick<Frame, 'pass' | 'layer'>,
  tensor: string,
  full: Ref,
): OutputTensor[] {
  const { geometry, heads } = chosen
  const { batched, batch, queries, keys } = geometry
  const inHeads = { ...geometry, heads: heads.length }
  const name = `tensors.${tensor}`
  const buffer = choose(p, chosen, full, queries * keys)
  if (detail === undefined) return [{ name, buffer, shape: inRank(inHeads, queries, keys) }]
  p.keepMap({ ...at, tensor, buffer, batched, batch, heads, queries, keys })
  const maps = {
    buffer,
    maps: batch * heads.length,
    rows: queries,
    columns: keys,
    signed: tensor !== 'weights',
  }
  const small = thumbnails(p, maps, detail)
  return [
    { name, buffer: small.bytes, shape: inRank(inHeads, small.rows, small.columns), dtype: 'uint8' },
    { name: `scales.${tensor}`, buffer: small.scale, shape: inRank(inHeads) },
  ]
}

/** Linear attention has no weights. */
function refuseEmits(kind: string, emit: readonly string[]): void {
  if (kind !== 'linear') return
  const has = ['output', 'grad_output', 'grad_params']
  const at = emit.findIndex(name => !has.includes(name))
  if (at < 0) return
  const message = `expected what "attention_kind":"linear" has (${has.join(', ')}), got "${emit[at]}"`
  throw fieldProblem('INVALID_REQUEST', `/emit/${at}`, message)
}
