/** What a compilation of a model's forward pass has at hand. */
import type { Ref } from '../../../workers/contract.ts'
import { takeRows } from '../../../workers/ops/tokens/op.ts'
import type { Report } from '../../layers/outputs.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import { headForward, type Logits } from '../../models/head.ts'
import type { LoadedModel } from '../../models/loaded.ts'
import type { ProgramWeights } from '../../models/program-weights.ts'
import type { ModelRun, Padding } from '../../models/run.ts'
import { lastReal, type Tokens } from '../../models/tokens.ts'
import { fieldProblem } from '../../problem.ts'
import type { Asked } from './outlets.ts'
import type { ModelRequest } from './request.ts'

/** Tokens of a request, how they are told of to a stack, and how ids are written. */
export interface PreparedTokens {
  tokens: Tokens
  padding: Padding
  /** undefined where there is no tokenizer */
  nameOf?: ((id: number) => string) | undefined
  /** undefined: the vocabulary has none of that name */
  idOf?: ((token: string) => number | undefined) | undefined
  /** the same tokens once for each step of integrated gradients */
  path?: { tokens: Tokens; padding: Padding } | undefined
}

/** What a compilation has at hand. */
export interface Forward {
  p: RequestProgram
  request: ModelRequest
  model: LoadedModel
  weights: ProgramWeights
  prepared: PreparedTokens
  run: ModelRun
  /** of layers */
  asked: Asked
  /** what is told beside tensors when the program has run */
  reports: Report[]
}

/** The logits of each item's row at a position (−1: the last real one): only these rows go through the head. */
export function rowLogits(
  { p, weights, model }: Forward,
  run: ModelRun,
  position: number,
  pointer: string,
): { head: Logits; chosen: Ref } {
  const { head, sizes } = model.plan.spec
  if (head === undefined) {
    const message = `expected a model with a language-model head; ${model.plan.name} has none`
    throw fieldProblem('INVALID_REQUEST', pointer, message)
  }
  const { tokens } = run.decoder.embedded
  const { batch, positions, real } = tokens
  const rows = lastReal(tokens).map((last, b) => b * positions + (position === -1 ? last : position))
  const wrong = position < -1 || position >= positions || rows.some(row => real[row] === 0)
  if (wrong) {
    const message = `expected −1 or a position of every item's tokens, up to ${Math.min(...lastReal(tokens))}, got ${position}`
    throw fieldProblem('INVALID_REQUEST', pointer, message)
  }
  const chosen = p.buffer({ type: 'int32', length: batch, data: rows })
  const x = p.reals(batch * sizes.dModel)
  p.stage(
    p.step(takeRows, { x: run.decoder.state.output, chosen, y: x }, { count: batch, dim: sizes.dModel }),
  )
  return { head: headForward(weights, head, x, batch), chosen }
}
