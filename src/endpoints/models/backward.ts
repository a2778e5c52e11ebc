/** `backward` of a model's forward pass: from a token's logit, a vector of the text or the output back to embeddings and weights. */
import type { Ref } from '../../../workers/contract.ts'
import { takeHeads } from '../../../workers/ops/maps/op.ts'
import { weightGradient } from '../../layers/attention/weight-gradient.ts'
import { GradientSet } from '../../layers/gradients.ts'
import type { MultiHeadState } from '../../layers/multi-head.ts'
import { answerWeights, tensorsOf } from '../../models/gradients.ts'
import type { WeightGradients } from '../../models/program-weights.ts'
import { type BackwardObserver, runBackward } from '../../models/run.ts'
import type { Forward } from './context.ts'
import { objectiveGradient } from './objective.ts'
import type { ForwardRequest } from './request.ts'

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
  const { gradOutput, values } = objectiveGradient(forward, run, backward.of, wants, found, '/backward/of')
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
  p.keep(values)
  forward.reports.push(read => ({ values: Array.from(read(values)) }))
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
