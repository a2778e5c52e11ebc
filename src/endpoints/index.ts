/** The compute endpoints. A new one is a file beside these and a line in this list. */
import { attention } from './attention.ts'
import type { Endpoint } from './endpoint.ts'
import { multiHeadAttention } from './multi-head-attention.ts'
import { positionalEncoding } from './positional-encoding.ts'
import { selfAttention } from './self-attention.ts'
import { transformer } from './transformer.ts'

export const ENDPOINTS: Endpoint[] = [
  attention,
  selfAttention,
  multiHeadAttention,
  positionalEncoding,
  transformer,
]
