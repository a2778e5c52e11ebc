/** The compute endpoints, in the order of the documents. A new one is a file beside these and a line in this list. */
import type { Endpoint } from './endpoint.ts'

export const ENDPOINTS: Endpoint[] = [
  (await import('./attention.ts')).attention,
  (await import('./self-attention.ts')).selfAttention,
  (await import('./multi-head-attention.ts')).multiHeadAttention,
  (await import('./positional-encoding.ts')).positionalEncoding,
  (await import('./transformer.ts')).transformer,
]
