/**
 * What each token has to do with what the model says, by one of four methods. Of what is differentiated: `of`.
 *
 *   rollout               row of ∏_l (½·mean_h W_l + ½·I)                    Abnar & Zuidema 2020
 *   gradient_x_attention  row of Σ_l Σ_h max(0, W ⊙ ∂f/∂W)                   after Chefer, Gur & Wolf 2021
 *   input_x_gradient      Σ_d e_d·∂f/∂e_d                                    Shrikumar et al. 2016
 *   integrated_gradients  Σ_d e_d·∫₀¹ ∂f(α·e)/∂e_d dα                        Sundararajan, Taly & Yan 2017; points: `pathSums`
 */
import type { Ref } from '../../../workers/contract.ts'
import { gradientRow, rolloutRow } from '../../../workers/ops/readings/op.ts'
import { embedTokens, pathSums, rowDots } from '../../../workers/ops/tokens/op.ts'
import type { AttentionState } from '../../layers/attention/index.ts'
import { weightGradient } from '../../layers/attention/weight-gradient.ts'
import { type ModelRun, type Observer, runBackward, runModel } from '../../models/run.ts'
import { lastReal } from '../../models/tokens.ts'
import { fieldProblem } from '../../problem.ts'
import type { Forward } from './context.ts'
import { objectiveGradient } from './objective.ts'
import type { ModelRequest, Objective } from './request.ts'

/** Whether every layer's weights are needed. */
export function relevanceMaps({ return: names, relevance }: ModelRequest): boolean {
  if (relevance === undefined) return names.includes('relevance')
  return relevance.method === 'rollout' || relevance.method === 'gradient_x_attention'
}

export function* answerRelevance(forward: Forward, attended: AttentionState[]): Generator<void> {
  const { p, request, model, prepared } = forward
  if (request.relevance === undefined && !request.return.includes('relevance')) return
  const { method, of, steps } = request.relevance ?? { method: 'rollout', of: undefined, steps: 0 }
  const { batch, positions } = prepared.tokens
  const maps = method === 'rollout' || method === 'gradient_x_attention'
  if (maps && model.plan.spec.encoder !== undefined) {
    const message = 'expected input_x_gradient or integrated_gradients with a model that has an encoder'
    throw fieldProblem('INVALID_REQUEST', '/relevance/method', message)
  }
  if (method !== 'rollout' && of === undefined) {
    throw fieldProblem(
      'INVALID_REQUEST',
      '/relevance/of',
      `expected it beside "method":"${method}", got nothing`,
    )
  }
  let values: Ref
  if (method === 'rollout') values = rollout(forward, of, attended)
  else if (method === 'gradient_x_attention')
    values = yield* gradientTimesAttention(forward, of as Objective, attended)
  else if (method === 'input_x_gradient') values = yield* inputTimesGradient(forward, of as Objective)
  else values = yield* integratedGradients(forward, of as Objective, steps)
  p.output('relevance', values, [batch, positions])
}

/** The row of each item that is asked for: the objective's own, else the last real one. */
function rowsOf({ prepared: { tokens } }: Forward, of: Objective | undefined): Int32Array {
  const last = lastReal(tokens)
  if (of === undefined || !('position' in of) || of.position === -1) return last
  const { position } = of
  if (
    position >= 0 &&
    last.every((row, b) => position <= row && tokens.real[b * tokens.positions + position] !== 0)
  ) {
    return last.map(() => position)
  }
  const message = `expected −1 or a position of every item's tokens, up to ${Math.min(...last)}, got ${position}`
  throw fieldProblem('INVALID_REQUEST', '/relevance/of/position', message)
}

function rollout(forward: Forward, of: Objective | undefined, attended: AttentionState[]): Ref {
  const { p, prepared } = forward
  const { batch, positions } = prepared.tokens
  const first = new Float64Array(batch * positions)
  for (const [b, row] of rowsOf(forward, of).entries()) first[b * positions + row] = 1
  let v = p.reals(batch * positions, first)
  for (const { attended: own, plan } of attended.toReversed()) {
    const y = p.reals(batch * positions)
    const args = { batch, heads: plan.geometry.heads, positions }
    p.stage(p.step(rolloutRow, { weights: own.written.weights as Ref, v, y }, args))
    v = y
  }
  return v
}

function* gradientTimesAttention(
  forward: Forward,
  of: Objective,
  attended: AttentionState[],
): Generator<void, Ref> {
  const { p, run, prepared } = forward
  const { batch, positions } = prepared.tokens
  const chosen = p.buffer({ type: 'int32', length: batch, data: rowsOf(forward, of) })
  const objective = objectiveGradient(forward, run, of, () => false, new Map(), '/relevance/of')
  let sum: Ref | undefined
  const layer = (_role: unknown, index: number, { gradients }: { gradients: { heads: Ref } }) => {
    const { attended: own, plan } = attended[index]
    const gradient = weightGradient(p, own, gradients.heads, undefined)
    const y = p.reals(batch * positions)
    const tensors = { weights: own.written.weights as Ref, gradients: gradient, sum, chosen, y }
    p.stage(p.step(gradientRow, tensors, { batch, heads: plan.geometry.heads, positions }))
    sum = y
  }
  yield* runBackward(run, objective, { wants: () => false, layer }, new Map())
  return sum as Ref
}

function* inputTimesGradient(forward: Forward, of: Objective): Generator<void, Ref> {
  const { run } = forward
  const objective = objectiveGradient(forward, run, of, () => false, new Map(), '/relevance/of')
  const gradient = yield* runBackward(run, objective, { wants: () => false }, new Map())
  const { p, model, prepared } = forward
  const { batch, positions } = prepared.tokens
  const [rows, dim] = [batch * positions, model.plan.spec.sizes.dModel]
  const values = p.reals(rows)
  p.stage(p.step(rowDots, { a: tokenEmbeddings(forward), b: gradient, values }, { rows, dim }))
  return values
}

/** Points are dense near 0, where norms of small embeddings turn quickly. */
const POWER = 3

/** All points of the path side by side in the batch, from 0 on. */
function* integratedGradients(forward: Forward, of: Objective, steps: number): Generator<void, Ref> {
  const { p, weights, model, prepared } = forward
  const { tokens, padding } = prepared.path as NonNullable<typeof prepared.path>
  const { batch, positions } = prepared.tokens
  const rows = batch * positions
  const places = Float64Array.from({ length: steps + 1 }, (_, point) => (point / steps) ** POWER)
  const factors = Float64Array.from(
    { length: rows * places.length },
    (_, row) => places[Math.floor(row / rows)],
  )
  const observer: Observer = {
    entropy: false,
    requested: () => ({ maps: () => [], crossMaps: () => [] }),
    forward() {},
    embedded() {},
    scales: p.buffer({ type: 'float64', length: factors.length, data: factors }),
  }
  const run: ModelRun = yield* runModel(weights, tokens, padding, observer, startOf(forward, tokens.batch))
  const objective = objectiveGradient(forward, run, of, () => false, new Map(), '/relevance/of')
  const grad = yield* runBackward(run, objective, { wants: () => false }, new Map())
  const y = p.reals(rows)
  const tensors = {
    x: tokenEmbeddings(forward),
    grad,
    values: objective.values,
    places: p.buffer({ type: 'float64', length: places.length, data: places }),
    y,
  }
  const args = { batch, positions, dim: model.plan.spec.sizes.dModel, points: places.length }
  p.stage(p.step(pathSums, tensors, args))
  return y
}

function startOf({ run, model }: Forward, batch: number) {
  const { encoder } = model.plan.spec
  if (run.encoder === undefined || encoder === undefined) return undefined
  const ids = new Int32Array(batch).fill(encoder.start)
  return { batch, positions: 1, ids, real: new Int32Array(batch).fill(1) }
}

/** Those of the tokens alone, as they enter. */
function tokenEmbeddings({ p, weights, model, prepared }: Forward): Ref {
  const { batch, positions, ids } = prepared.tokens
  const { embeddings, sizes } = model.plan.spec
  const [rows, dim] = [batch * positions, sizes.dModel]
  const y = p.reals(rows * dim)
  const tokens = p.buffer({ type: 'int32', length: rows, data: ids })
  const table = weights.asItLies('embeddings.tokens')
  p.stage(p.step(embedTokens, { ids: tokens, table, y }, { rows, dim, factor: embeddings.factor }))
  return y
}
