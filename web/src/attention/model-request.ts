/** One head of a model as a request to `POST /v1/models/{name}/forward`, and its answer as matrices. */
import type { Matrix } from '../matrix/matrix.ts'
import { namesOf, type Span } from '../tokens/names.ts'
import { type AttentionResult, bodyOf, numbers, post } from './request.ts'
import type { AttentionState } from './state.ts'

interface Layer {
  weights: unknown[][]
  scores: unknown[][]
  masked_scores: unknown[][]
  entropy: unknown[][]
  logsumexp: unknown[][]
}

interface Answer {
  tokens: { strings: string[][]; offsets?: Span[][] }
  layers: Layer[]
  /** of T5, whose decoder sees one token */
  encoder?: { layers: Layer[] }
}

/** `state`: with nothing left open. */
export function requestOf(state: AttentionState): { path: string; body: object } {
  const { model, sentence, head } = state
  if (!model || state.source === 'numbers') return { path: '/v1/attention', body: bodyOf(state) }
  return {
    path: `/v1/models/${encodeURIComponent(model)}/forward`,
    body: {
      text: sentence,
      layers: [head?.layer ?? 0],
      heads: [head?.head ?? 0],
      return: ['scores', 'masked_scores', 'weights', 'entropy', 'logsumexp'],
      precision: 'float64',
    },
  }
}

/** Models do not tell their queries, keys and values: what there is begins at the scores. */
export async function computeHead(state: AttentionState, signal: AbortSignal): Promise<AttentionResult> {
  const { path, body } = requestOf(state)
  const answer = (await post(path.slice(1), body, signal)) as unknown as Answer
  const [layer] = (answer.encoder ?? answer).layers
  const { strings: [tokens = []] = [], offsets: [spans = []] = [] } = answer.tokens
  const names = namesOf(state.sentence ?? '', tokens, spans)
  const of = (name: keyof Layer) => numbers(layer?.[name]?.[0]?.[0])
  return {
    inputs: { q: [], k: [], v: [], target: [], queries: names, keys: names },
    tokens,
    scale: 1,
    products: [],
    scores: of('scores') as Matrix,
    maskedScores: of('masked_scores') as Matrix,
    weights: of('weights') as Matrix,
    output: [],
    entropy: of('entropy') as number[],
    logsumexp: of('logsumexp') as number[],
    gradients: undefined,
  }
}
