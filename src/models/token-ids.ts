/** Tokens that a request gives by their ids. */
import type { TensorSource } from '../formats/tensor.ts'
import { elementProblem, readIntegers } from '../layers/attention/lengths.ts'
import { wrong } from '../layers/geometry.ts'
import { fieldProblem } from '../problem.ts'
import type { ModelPlan } from './plan.ts'
import type { Tokens } from './tokens.ts'

/** The main thread reads them. */
const MOST_TOKENS = 1 << 20

export interface GivenTokens {
  token_ids: TensorSource
  attention_mask?: TensorSource | undefined
  token_type_ids?: TensorSource | undefined
}

export function tokensOf(
  { token_ids, attention_mask, token_type_ids }: GivenTokens,
  plan: ModelPlan,
): Tokens {
  const { shape } = token_ids
  const [batch, positions] = shape.length === 1 ? [1, shape[0]] : shape
  if (shape.length < 1 || shape.length > 2 || batch * positions === 0) {
    wrong('/token_ids', token_ids, 'expected [B, N] or [N], with at least one token')
  }
  if (batch * positions > MOST_TOKENS)
    wrong('/token_ids', token_ids, `expected at most ${MOST_TOKENS} tokens`)
  refuseLength('/token_ids', positions, plan)
  const { sizes, embeddings } = plan.spec
  const ids = readWithin('/token_ids', token_ids, shape, 0, sizes.vocabulary - 1)
  const real = attention_mask
    ? readWithin('/attention_mask', attention_mask, shape, 0, 1)
    : new Int32Array(batch * positions).fill(1)
  if (token_type_ids === undefined) return { batch, positions, ids, real }
  if (!embeddings.types) {
    throw fieldProblem(
      'INVALID_REQUEST',
      '/token_type_ids',
      `expected none with a model of family ${plan.spec.family}`,
    )
  }
  const types = plan.weights.get('embeddings.types')?.shape[0] ?? 1
  return {
    batch,
    positions,
    ids,
    real,
    kinds: readWithin('/token_type_ids', token_type_ids, shape, 0, types - 1),
  }
}

export function refuseLength(pointer: string, length: number, { maxLength }: ModelPlan): void {
  if (maxLength === undefined || length <= maxLength) return
  throw fieldProblem(
    'INVALID_REQUEST',
    pointer,
    `expected at most max_length = ${maxLength} tokens, got ${length}`,
  )
}

function readWithin(pointer: string, source: TensorSource, shape: number[], least: number, most: number) {
  if (source.shape.length !== shape.length || source.shape.some((extent, axis) => extent !== shape[axis])) {
    wrong(pointer, source, `expected [${shape.join(', ')}]`)
  }
  if (source.form === 'shape') return new Int32Array(source.count)
  const { values, fault } = readIntegers(source)
  const bad = fault?.index ?? values.findIndex(value => value < least || value > most)
  if (fault === undefined && bad < 0) return values
  const found = fault?.found ?? String(values[bad])
  throw elementProblem(pointer, source, bad, `expected an integer from ${least} to ${most}, got ${found}`)
}
