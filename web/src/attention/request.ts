/** The state as a request to `POST /v1/attention`, and its answer as matrices. */
import type { Matrix } from '../matrix/matrix.ts'
import { columns, dot } from '../matrix/matrix.ts'
import { ask } from '../page/access.ts'
import { detailOf, mayPass, type Problem, wantsKey } from '../page/problem.ts'
import { type AttentionState, type Inputs, inputsOf } from './state.ts'

export interface AttentionBody {
  q: Matrix
  k: Matrix
  v: Matrix
  causal?: string
  kv_lengths?: number[]
  window?: { left: number; right: number }
  mask?: Matrix
  return: string[]
  backward?: { target: Matrix; wrt: string[] }
  precision: 'float64'
}

/** The gradient of the scores is that of an added mask of zeros, which changes nothing else. */
export function bodyOf(state: AttentionState): AttentionBody {
  const { q, k, v, target } = inputsOf(state)
  return {
    q,
    k,
    v,
    ...(state.causal !== 'none' && { causal: state.causal }),
    ...(state.padding > 0 && { kv_lengths: [Math.max(0, k.length - state.padding)] }),
    ...(state.window !== undefined && { window: state.window }),
    ...(state.gradients && {
      mask: q.map(() => k.map(() => 0)),
      backward: { target, wrt: ['q', 'k', 'v', 'mask'] },
    }),
    return: ['scores', 'masked_scores', 'weights', 'output', 'entropy', 'logsumexp'],
    precision: 'float64',
  }
}

export interface AttentionResult {
  inputs: Inputs
  /** as the vocabulary of a model writes them */
  tokens: string[]
  scale: number
  /** q·kᵀ before it is scaled */
  products: Matrix
  scores: Matrix
  maskedScores: Matrix
  weights: Matrix
  output: Matrix
  entropy: number[]
  logsumexp: number[]
  gradients: Gradients | undefined
}

export interface Gradients {
  loss: number
  /** ∂L/∂output = 2(output − target) */
  output: Matrix
  /** ∂L/∂weights = ∂output·vᵀ */
  weights: Matrix
  scores: Matrix
  q: Matrix
  k: Matrix
  v: Matrix
}

export class ProblemError extends Error {
  /** the same request may succeed later */
  readonly mayPass: boolean
  readonly wantsKey: boolean

  constructor(problem: Problem) {
    super(detailOf(problem))
    this.mayPass = mayPass(problem)
    this.wantsKey = wantsKey(problem)
  }
}

export async function compute(state: AttentionState, signal: AbortSignal): Promise<AttentionResult> {
  const inputs = inputsOf(state)
  const answer = await post('v1/attention', bodyOf(state), signal)
  const scale = 1 / Math.sqrt(columns(inputs.q))
  const scores = numbers(answer.scores) as Matrix
  const output = numbers(answer.output) as Matrix
  return {
    inputs,
    tokens: inputs.queries,
    scale,
    products: inputs.q.map(q => inputs.k.map(k => dot(q, k))),
    scores,
    maskedScores: numbers(answer.masked_scores) as Matrix,
    weights: numbers(answer.weights) as Matrix,
    output,
    entropy: numbers(answer.entropy) as number[],
    logsumexp: numbers(answer.logsumexp) as number[],
    gradients: answer.grads && gradientsOf(answer, inputs, output),
  }
}

function gradientsOf(answer: Answer, { v, target }: Inputs, output: Matrix): Gradients {
  const ofOutput = output.map((row, i) => row.map((value, j) => 2 * (value - target[i]![j]!)))
  return {
    loss: numbers(answer.loss) as number,
    output: ofOutput,
    weights: ofOutput.map(row => v.map(value => dot(row, value))),
    scores: numbers(answer.grads?.mask) as Matrix,
    q: numbers(answer.grads?.q) as Matrix,
    k: numbers(answer.grads?.k) as Matrix,
    v: numbers(answer.grads?.v) as Matrix,
  }
}

interface Answer {
  [name: string]: unknown
  grads?: Record<string, unknown>
}

export async function post(path: string, body: object, signal: AbortSignal): Promise<Answer> {
  const response = await ask(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  })
  const answer = await response.json()
  if (response.ok) return answer
  throw new ProblemError(answer)
}

/** −∞ comes as a text, in arrays of any depth. */
export function numbers(value: unknown): number | number[] | Matrix {
  return Array.isArray(value) ? (value.map(numbers) as number[] | Matrix) : Number(value)
}
