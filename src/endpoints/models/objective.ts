/** What is differentiated: a token's logit, a vector of the text, the output itself → its gradient with respect to the output. */
import type { Ref } from '../../../workers/contract.ts'
import { takeHeads } from '../../../workers/ops/maps/op.ts'
import { poolBackward, poolRows, putRows, rowDots, tokenObjective } from '../../../workers/ops/tokens/op.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import { expectShape, wrong } from '../../layers/geometry.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import { headBackward } from '../../models/head.ts'
import type { WeightGradients } from '../../models/program-weights.ts'
import type { ModelRun, OutputGradient } from '../../models/run.ts'
import { fieldProblem } from '../../problem.ts'
import { type Forward, rowLogits } from './context.ts'
import type { Objective } from './request.ts'

export interface ObjectiveGradient extends OutputGradient {
  /** of each item */
  values: Ref
}

/** ∂/∂output of what is differentiated, and its value in each item. */
export function objectiveGradient(
  forward: Forward,
  run: ModelRun,
  of: Objective,
  wants: (name: string) => boolean,
  found: WeightGradients,
  pointer: string,
): ObjectiveGradient {
  const { p, weights, model, request } = forward
  const { tokens } = run.decoder.embedded
  /** how often the request's items stand one behind the other */
  const times = tokens.batch / forward.run.decoder.embedded.tokens.batch
  const { dModel, vocabulary } = model.plan.spec.sizes
  const { batch, positions } = tokens
  const rows = batch * positions
  if (of.kind === 'output') {
    expectShape(`${pointer}/grad_output`, of.grad_output, [batch / times, positions, dModel])
    const given = p.input(`${pointer}/grad_output`, of.grad_output)
    const gradOutput = repeated(p, given, positions * dModel, batch / times, times)
    const values = dots(p, run.decoder.state.output, gradOutput, batch, positions * dModel)
    return { role: 'decoder', gradOutput, values }
  }
  if (of.kind === 'embedding') {
    const gradY = targetRows(forward, of.target, `${pointer}/target`, times)
    // the vector of a text is its encoder's, where there is one
    const { role, state, embedded } = run.encoder ?? run.decoder
    const { real: ofText, positions } = embedded.tokens
    const x = state.output
    const real = p.buffer({ type: 'int32', length: ofText.length, data: ofText })
    const gradX = p.reals(ofText.length * dModel)
    const args = { batch, positions, dim: dModel, pooling: request.pooling, normalised: true }
    p.stage(p.step(poolBackward, { x, real, gradY, gradX }, args))
    const y = p.reals(batch * dModel)
    p.stage(p.step(poolRows, { x, real, y }, args))
    return { role, gradOutput: gradX, values: dots(p, y, gradY, batch, dModel) }
  }
  const { head, chosen } = rowLogits(forward, run, of.position, `${pointer}/position`)
  const target = tokenId(forward, of.token, `${pointer}/token`)
  const targets = p.buffer({ type: 'int32', length: batch, data: new Int32Array(batch).fill(target) })
  const gradLogits = p.reals(batch * vocabulary)
  const values = p.buffer({ type: 'float64', length: batch })
  const args = { rows: batch, vocabulary, kind: of.kind }
  p.stage(p.step(tokenObjective, { logits: head.logits, targets, gradLogits, values }, args))
  const gradY = headBackward(weights, head, gradLogits, wants, found)
  const gradOutput = p.reals(rows * dModel)
  p.stage(p.step(putRows, { gradY, chosen, gradX: gradOutput }, { rows, count: batch, dim: dModel }))
  return { role: 'decoder', gradOutput, values }
}

function dots(p: RequestProgram, a: Ref, b: Ref, rows: number, dim: number): Ref {
  const values = p.buffer({ type: 'float64', length: rows })
  p.stage(p.step(rowDots, { a, b, values }, { rows, dim }))
  return values
}

/** [d] for all, or [B, d]. */
function targetRows(
  { p, model, prepared }: Forward,
  target: TensorSource,
  pointer: string,
  times: number,
): Ref {
  const { dModel } = model.plan.spec.sizes
  const { batch } = prepared.tokens
  const { shape } = target
  const one = shape.length === 1 && shape[0] === dModel
  if (!one && !(shape.length === 2 && shape[0] === batch && shape[1] === dModel)) {
    wrong(pointer, target, `expected [${dModel}] or [${batch}, ${dModel}]`)
  }
  const given = p.input(pointer, target)
  return one ? repeated(p, given, dModel, 1, batch * times) : repeated(p, given, dModel, batch, times)
}

/** The `count` rows of x, all of them `times` times. */
function repeated(p: RequestProgram, x: Ref, width: number, count: number, times: number): Ref {
  if (times === 1) return x
  const chosen = Array.from({ length: count * times }, (_, at) => at % count)
  const y = p.reals(chosen.length * width)
  p.stage(p.step(takeHeads, { x, y }, { batch: 1, heads: count, chosen, width }))
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
