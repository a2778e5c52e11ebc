/** `backward` of a model's forward pass: from a token's logit, a vector of the text or the output back to embeddings and weights. */
import type { Ref } from '../../../workers/contract.ts'
import { weightGradient } from '../../layers/attention/weight-gradient.ts'
import { GradientSet } from '../../layers/gradients.ts'
import type { MultiHeadState } from '../../layers/multi-head.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import { answerWeights, joinedWeight, layerOfTensor, tensorsOf } from '../../models/gradients.ts'
import type { WeightGradients } from '../../models/program-weights.ts'
import { type BackwardObserver, type Role, runBackward } from '../../models/run.ts'
import type { Forward } from './context.ts'
import { objectiveGradient } from './objective.ts'
import type { Outlet } from './outlets.ts'
import type { ModelRequest } from './request.ts'

type Backward = NonNullable<ModelRequest['backward']>

export function* answerBackward(forward: Forward, backward: Backward): Generator<void> {
  const { p, weights, model, run, asked } = forward
  const emits = new Set(asked.names)
  const wanted = gradientsOf(forward, backward, emits.has('grad_params'))
  const tensors = new Map([...tensorsOf(model)].filter(([tensor]) => wanted.has(`params.${tensor}`)))
  /** what each layer puts out */
  const ofLayers = Map.groupBy(tensors, ([, parts]) => {
    const of = emits.has('grad_params') ? layerOfTensor(model, parts) : undefined
    return of && placeKey(of.role, of.layer)
  })
  const wholes = new Map(ofLayers.get(undefined))
  const chosen = new Set(asked.layers)
  const computed = [...tensors].filter(([tensor, parts]) => {
    return wholes.has(tensor) || chosen.has(layerOfTensor(model, parts)?.layer ?? -1)
  })
  const names = new Set(computed.flatMap(([, parts]) => parts.map(({ name }) => name)))
  const wants = (name: string) => names.has(name)
  const found: WeightGradients = new Map()
  const objective = objectiveGradient(forward, run, backward.of, wants, found, '/backward/of')
  const layer: BackwardObserver['layer'] = (role, index, { block, gradOutput, gradients }, gradientOf) => {
    const at = { pass: 'backward', role, layer: index } as const
    const outlet = asked.outlets.of(at)
    if (outlet !== undefined) {
      const { tokens } = (role === 'encoder' ? run.encoder : run.decoder)?.embedded ?? run.decoder.embedded
      if (emits.has('grad_output')) {
        outlet.tensor('grad_output', gradOutput, [
          tokens.batch,
          tokens.positions,
          model.plan.spec.sizes.dModel,
        ])
      }
      if (emits.has('grad_weights')) mapGradient(p, outlet, 'grad_weights', block.attention, gradients.heads)
      if (emits.has('grad_cross_weights') && block.cross !== undefined) {
        mapGradient(p, outlet, 'grad_cross_weights', block.cross, gradients.crossHeads as Ref)
      }
      for (const [tensor, parts] of ofLayers.get(placeKey(role, index)) ?? []) {
        const joined = joinedWeight(weights, parts, gradientOf)
        if (joined !== undefined) outlet.tensor(`grad_params.${tensor}`, joined.ref, joined.shape)
      }
    }
    asked.outlets.done(at)
  }
  const gradient = yield* runBackward(run, objective, { wants, layer }, found)
  if (wanted.has('embeddings')) {
    const { batch, positions } = forward.prepared.tokens
    p.output('grads.embeddings', gradient, [batch, positions, model.plan.spec.sizes.dModel])
  }
  answerWeights(weights, found, tensor => wholes.has(tensor))
  const { values } = objective
  p.keep(values)
  forward.reports.push(read => ({ values: Array.from(read(values)) }))
}

/** Weights have no gradient where what they belong to takes no part: the head, or the decoder behind an encoder. */
function gradientsOf({ model, run }: Forward, { of, wrt }: Backward, emitted: boolean): GradientSet {
  const takesPart = (name: string) => {
    if (of.kind === 'logit' || of.kind === 'log_probability') return true
    if (of.kind === 'embedding' && run.encoder !== undefined) return /^(encoder|embeddings)\./.test(name)
    return !name.startsWith('head.')
  }
  const tensors = [...tensorsOf(model)].filter(([, parts]) => parts.some(({ name }) => takesPart(name)))
  const params = Object.fromEntries(tensors.map(([tensor]) => [`params.${tensor}`, true]))
  const asked = wrt ?? ['embeddings', ...(emitted ? ['params'] : [])]
  return new GradientSet(asked, { embeddings: true, ...params })
}

function placeKey(role: Role, layer: number): string {
  return `${role} ${layer}`
}

function mapGradient(
  p: RequestProgram,
  outlet: Outlet,
  name: string,
  state: MultiHeadState,
  gradHeads: Ref,
): void {
  const { attended, plan } = state.attention
  const { batch, heads, queries, keys } = plan.geometry
  const map = weightGradient(p, attended, gradHeads, undefined)
  outlet.heads(name, map, [batch, heads, queries, keys], plan.geometry)
}
