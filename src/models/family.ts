/** What a family of models is: how its configuration and the names of its tensors say a stack, and what stands around it. */
import type { ModelConfig } from './config.ts'
import type { Weights } from './weights.ts'

/** Fields of a request's `stack`, but for its parameters. */
export type StackOptions = Record<string, unknown>

/** What stands before the stack. Its weights: embeddings.tokens, .positions, .types, .norm.{gamma,beta}. */
export interface EmbeddingSpec {
  /** what the embeddings of tokens are multiplied with */
  factor: number
  /** `padded`: counted over the tokens that are no padding, behind that id, which all padding has */
  positions: 'none' | 'absolute' | { padded: number }
  types: boolean
  norm?: { eps: number }
}

/** What stands behind it. Its weights: head.w_dense, head.b_dense, head.norm.{gamma,beta}, head.weight, head.bias. */
export interface HeadSpec {
  /** rows are put through a layer of their own first */
  dense?: { activation: string; bias: boolean; eps: number }
  /** head.weight or embeddings.tokens, [vocabulary, d_model] */
  weight: 'head.weight' | 'embeddings.tokens'
  bias: boolean
  /** what rows are multiplied with */
  factor: number
  softcap?: number
}

export interface ModelSpec {
  family: string
  stack: StackOptions
  /** of the norms of queries and keys, where they have gains */
  gainsEps?: number
  /** norms of the stack that are the identity */
  identities?: string[]
  embeddings: EmbeddingSpec
  head?: HeadSpec
  /** its output is the context of the stack, which begins with this token; weights: encoder.… */
  encoder?: { stack: StackOptions; start: number }
  sizes: {
    layers: number
    heads: number
    kvHeads: number
    dModel: number
    headDim: number
    vocabulary: number
    /** undefined where nothing bounds it */
    maxLength: number | undefined
  }
  weights: Weights
}

/** What a family may ask of the files. */
export interface Names {
  has(tensor: string): boolean
}

export interface Family {
  /** the model_types of its configurations */
  types: readonly string[]
  /** of its tensors, which may be missing */
  prefix: string
  /** tensors that are not used: buffers, and heads that are no part of a language model */
  ignored: RegExp
  read(config: ModelConfig, names: Names): ModelSpec
}
