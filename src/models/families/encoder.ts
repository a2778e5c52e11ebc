/** What encoders and GPT-2 have alike: heads that share their width evenly, and a masked language model's head. */
import type { ModelConfig } from '../config.ts'
import type { HeadSpec, ModelSpec, Names } from '../family.ts'
import type { Weights } from '../weights.ts'

type Sizes = ModelSpec['sizes']

/** Of a model without groups of heads. */
export function evenSizes(sizes: Omit<Sizes, 'kvHeads' | 'headDim'>): Sizes {
  return { ...sizes, kvHeads: sizes.heads, headDim: sizes.dModel / sizes.heads }
}

/** Of the last product: the tokens' embeddings, unless the configuration ties them not and the file has the tensor. */
export function lastWeight(
  config: ModelConfig,
  names: Names,
  weights: Weights,
  tensor: string,
  { vocabulary, dModel }: Pick<Sizes, 'vocabulary' | 'dModel'>,
): HeadSpec['weight'] {
  if (config.flag('tie_word_embeddings', true) || !names.has(tensor)) return 'embeddings.tokens'
  weights.table('head.weight', tensor, vocabulary, dModel)
  return 'head.weight'
}

/** A layer of its own, then the vocabulary. */
export function maskedHead(
  dense: NonNullable<HeadSpec['dense']>,
  weight: HeadSpec['weight'],
  bias = true,
): HeadSpec {
  return { dense, weight, bias, factor: 1 }
}
