/** What encoders and GPT-2 have alike: heads that share their width evenly, and a masked language model's head. */
import type { HeadSpec, ModelSpec } from '../family.ts'

type Sizes = ModelSpec['sizes']

/** Of a model without groups of heads. */
export function evenSizes(sizes: Omit<Sizes, 'kvHeads' | 'headDim'>): Sizes {
  return { ...sizes, kvHeads: sizes.heads, headDim: sizes.dModel / sizes.heads }
}

/** A layer of its own, then the vocabulary: the tokens' embeddings unless the file has other weights. */
export function maskedHead(
  dense: NonNullable<HeadSpec['dense']>,
  weight: HeadSpec['weight'] = 'embeddings.tokens',
): HeadSpec {
  return { dense, weight, bias: true, factor: 1 }
}
