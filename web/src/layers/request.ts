/** The run as the server is asked for it: over the stream, or all at once over HTTP. */
import { normals } from '../attention/seeded.ts'
import { type LayersState, tokensOf } from './state.ts'

export interface Base64Tensor {
  shape: number[]
  dtype: 'float32'
  base64: string
}

/** [N, d_model]: seeded embeddings of the tokens, the same word the same vector. */
export function embeddings(tokens: string[], dim: number, seed: number): Float32Array {
  const known = new Map<string, Float32Array>()
  const x = new Float32Array(tokens.length * dim)
  for (const [index, token] of tokens.entries()) {
    let vector = known.get(token)
    if (vector === undefined) {
      const source = normals(`${seed} ${token.toLowerCase()}`)
      vector = Float32Array.from({ length: dim }, () => source.next().value)
      known.set(token, vector)
    }
    x.set(vector, index * dim)
  }
  return x
}

/** The target of the loss is the embedding of the next token; of the last one, of the first. */
export function shifted(x: Float32Array, dim: number): Float32Array {
  const target = new Float32Array(x.length)
  target.set(x.subarray(dim))
  target.set(x.subarray(0, dim), x.length - dim)
  return target
}

export function base64(data: Float32Array, shape: number[]): Base64Tensor {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  let text = ''
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000))
  }
  return { shape, dtype: 'float32', base64: btoa(text) }
}

function parts(state: LayersState) {
  const tokens = tokensOf(state)
  const dim = state.heads * state.dimHead
  const x = embeddings(tokens, dim, state.seed)
  const shape = [tokens.length, dim]
  return {
    stack: {
      layers: state.layers,
      d_model: dim,
      heads: state.heads,
      norm: state.norm,
      position: state.position,
      causal: state.causal,
      init: { scheme: 'xavier_uniform', seed: state.seed },
    },
    x: base64(x, shape),
    ...(state.backward && {
      backward: { target: base64(shifted(x, dim), shape), loss: 'mean_squared_error', wrt: ['x'] },
    }),
  }
}

/** Longest side of a thumbnail. */
export const THUMBNAIL = 128

/** How many layers may be on their way before the page has drawn them. */
export const CREDIT = 2

const FRAMES = {
  encoding: 'safetensors',
  credit: CREDIT,
  detail: { max_size: THUMBNAIL, dtype: 'uint8', pool: 'max' },
} as const

/** `state`: with nothing left open. */
export function startMessage(id: string, state: LayersState) {
  const { model, sentence: text } = state
  if (model) return { type: 'start', id, model, text, emit: ['weights', 'entropy'], return: [], ...FRAMES }
  return {
    type: 'start',
    id,
    ...parts(state),
    pass: state.backward ? 'forward_backward' : 'forward',
    emit: state.backward ? ['weights', 'entropy', 'grad_weights'] : ['weights', 'entropy'],
    ...FRAMES,
  }
}

/** The same without the stream, to be run elsewhere. */
export function requestOf(state: LayersState): { path: string; body: object } {
  const { model, sentence: text } = state
  if (!model) return { path: '/v1/transformer', body: transformerBody(state) }
  return {
    path: `/v1/models/${encodeURIComponent(model)}/forward`,
    body: { text, return: ['weights', 'entropy'] },
  }
}

export function transformerBody(state: LayersState) {
  return { ...parts(state), return: ['output', 'weights', 'entropy'] }
}
