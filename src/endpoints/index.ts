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

interface Numerics {
  precision: 'float32' | 'float64'
  encoding: 'nested' | 'flat' | 'base64'
  output_dtype?: 'float64' | 'float32' | 'float16' | 'bfloat16' | undefined
}

export function answerStyle(request: unknown, format: 'json' | 'safetensors') {
  const { precision, encoding, output_dtype } = request as Numerics
  return { format, encoding, dtype: output_dtype ?? precision }
}
export type { Endpoint } from './endpoint.ts'
