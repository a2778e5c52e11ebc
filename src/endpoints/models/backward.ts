/** `backward` of a model's forward pass: from a token's logit, a vector of the text or the output back to embeddings and weights. */
import type { Ref } from '../../../workers/contract.ts'
import { takeHeads } from '../../../workers/ops/maps/op.ts'
import { poolBackward, putRows, tokenObjective } from '../../../workers/ops/tokens/op.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import { weightGradient } from '../../layers/attention/weight-gradient.ts'
import { expectShape, wrong } from '../../layers/geometry.ts'
import { GradientSet } from '../../layers/gradients.ts'
import type { MultiHeadState } from '../../layers/multi-head.ts'
import { answerWeights, tensorsOf } from '../../models/gradients.ts'
import { headBackward } from '../../models/head.ts'
import type { WeightGradients } from '../../models/program-weights.ts'
import { type BackwardObserver, runBackward } from '../../models/run.ts'
import { fieldProblem } from '../../problem.ts'
import { type Forward, rowLogits } from './context.ts'
import type { ForwardRequest, Objective } from './request.ts'

export function* answerBackward(
  forward: Forward,
  backward: NonNullable<ForwardRequest['backward']>,
): Generator<void> {
  const { p, weights, model, run, request } = forward
  const wanted = gradientsOf(forward, backward)
  const parts = tensorsOf(model)
  const names = new Set(
    [...parts].flatMap(([tensor, of]) => (wanted.has(`params.${tensor}`) ? of.map(({ name }) => name) : [])),
  )
  const wants = (name: string) => names.has(name)
  const found: WeightGradients = new Map()
  const { gradOutput, values } = objectiveGradient(forward, backward.of, wants, found)
  const emits = new Set(request.emit)
  const layer: BackwardObserver['layer'] = (role, index, { block, gradOutput, gradients }) => {
    const place = forward.places.get(index)
    if (place === undefined || emits.size === 0) return
    const at = `${role === 'encoder' ? 'encoder.' : ''}layers.${place}.`
    const { tokens } = (role === 'encoder' ? run.encoder : run.decoder)?.embedded ?? run.decoder.embedded
    if (emits.has('grad_output')) {
      p.output(`${at}grad_output`, gradOutput, [tokens.batch, tokens.positions, model.plan.spec.sizes.dModel])
    }
    if (emits.has('grad_weights')) answerMap(forward, `${at}grad_weights`, block.attention, gradients.heads)
    if (emits.has('grad_cross_weights') && block.cross !== undefined) {
      answerMap(forward, `${at}grad_cross_weights`, block.cross, gradients.crossHeads as Ref)
    }
  }
  const gradient = yield* runBackward(run, gradOutput, { wants, layer }, found)
  if (wanted.has('embeddings')) {
    const { batch, positions } = forward.prepared.tokens
    p.output('grads.embeddings', gradient, [batch, positions, model.plan.spec.sizes.dModel])
  }
  answerWeights(weights, found, tensor => wanted.has(`params.${tensor}`))
  if (values !== undefined) {
    p.keep(values)
    forward.reports.push(read => ({ values: Array.from(read(values)) }))
  }
}

/** Weights of the head have no gradient where it takes no part. */
function gradientsOf({ model }: Forward, { of, wrt }: NonNullable<ForwardRequest['backward']>): GradientSet {
  const head = of.kind === 'logit' || of.kind === 'log_probability'
  const tensors = [...tensorsOf(model)].filter(
    ([, parts]) => head || parts.some(({ name }) => !name.startsWith('head.')),
  )
  const params = Object.fromEntries(tensors.map(([tensor]) => [`params.${tensor}`, true]))
  return new GradientSet(wrt, { embeddings: true, ...params })
}

export function answerMap({ p, heads }: Forward, name: string, state: MultiHeadState, gradHeads: Ref): void {
  const { attended, plan } = state.attention
  const { batch, heads: all, queries, keys } = plan.geometry
  const map = weightGradient(p, attended, gradHeads, undefined)
  if (heads === undefined) {
    p.output(name, map, [batch, all, queries, keys])
    return
  }
  const width = queries * keys
  const y = p.reals(batch * heads.length * width)
  p.stage(p.step(takeHeads, { x: map, y }, { batch, heads: all, chosen: heads, width }))
  p.output(name, y, [batch, heads.length, queries, keys])
}

/** ∂/∂output of what is differentiated, and its value in each item. */
export function objectiveGradient(
  forward: Forward,
  of: Objective,
  wants: (name: string) => boolean,
  found: WeightGradients,
  pointer = '/backward/of',
): { gradOutput: Ref; values?: Ref } {
  const { p, weights, model, run, request, prepared } = forward
  const { dModel, vocabulary } = model.plan.spec.sizes
  const { batch, positions } = run.decoder.embedded.tokens
  const rows = batch * positions
  if (of.kind === 'output') {
    expectShape(`${pointer}/grad_output`, of.grad_output, [batch, positions, dModel])
    return { gradOutput: p.input(`${pointer}/grad_output`, of.grad_output) }
  }
  if (of.kind === 'embedding') {
    if (run.encoder !== undefined) {
      throw fieldProblem(
        'INVALID_REQUEST',
        `${pointer}/kind`,
        'expected another kind with a model that has an encoder',
      )
    }
    const gradY = targetRows(forward, of.target, `${pointer}/target`)
    const real = p.buffer({ type: 'int32', length: rows, data: prepared.tokens.real })
    const gradX = p.reals(rows * dModel)
    const args = { batch, positions, dim: dModel, pooling: request.pooling, normalised: true }
    p.stage(p.step(poolBackward, { x: run.decoder.state.output, real, gradY, gradX }, args))
    return { gradOutput: gradX }
  }
  const { head, chosen } = rowLogits(forward, of.position, `${pointer}/position`)
  const target = tokenId(forward, of.token, `${pointer}/token`)
  const targets = p.buffer({ type: 'int32', length: batch, data: new Int32Array(batch).fill(target) })
  const gradLogits = p.reals(batch * vocabulary)
  const values = p.buffer({ type: 'float64', length: batch })
  const args = { rows: batch, vocabulary, kind: of.kind }
  p.stage(p.step(tokenObjective, { logits: head.logits, targets, gradLogits, values }, args))
  const gradY = headBackward(weights, head, gradLogits, wants, found)
  const gradOutput = p.reals(rows * dModel)
  p.stage(p.step(putRows, { gradY, chosen, gradX: gradOutput }, { rows, count: batch, dim: dModel }))
  return { gradOutput, values }
}

/** [d] for all, or [B, d]. */
function targetRows({ p, model, prepared }: Forward, target: TensorSource, pointer: string): Ref {
  const { dModel } = model.plan.spec.sizes
  const { batch } = prepared.tokens
  const { shape } = target
  const one = shape.length === 1 && shape[0] === dModel
  if (!one && !(shape.length === 2 && shape[0] === batch && shape[1] === dModel)) {
    wrong(pointer, target, `expected [${dModel}] or [${batch}, ${dModel}]`)
  }
  const given = p.input(pointer, target)
  if (!one || batch === 1) return given
  // the same row for every item
  const y = p.reals(batch * dModel)
  p.stage(
    p.step(
      takeHeads,
      { x: given, y },
      { batch: 1, heads: 1, chosen: new Array(batch).fill(0), width: dModel },
    ),
  )
  return y
}

export function tokenId({ prepared, model }: Forward, token: string | number, pointer: string): number {
  const { vocabulary } = model.plan.spec.sizes
  const id = typeof token === 'number' ? token : prepared.idOf?.(token)
  if (id !== undefined && id < vocabulary) return id
  const expected =
    typeof token === 'string' && prepared.idOf === undefined
      ? 'an id (the model has no tokenizer)'
      : `a token of the vocabulary, or an id below ${vocabulary}`
  throw fieldProblem('INVALID_REQUEST', pointer, `expected ${expected}, got ${JSON.stringify(token)}`)
}
