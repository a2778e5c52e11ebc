/** The compute endpoints: path → what its body must be and how it becomes a program. A new layer is one line here. */
import type * as z from 'zod'
import { AttentionRequest, AttentionShapes } from '../layers/attention/fields.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { TransformerRequest, TransformerShapes } from '../layers/stack-fields.ts'
import type { AnswerStyle } from '../pipeline/reply.ts'
import {
  AttentionAnswer,
  MultiHeadAttentionAnswer,
  PositionalEncodingAnswer,
  SelfAttentionAnswer,
  TransformerAnswer,
} from './answers.ts'
import { compileAttention } from './attention.ts'
import {
  MultiHeadAttentionRequest,
  MultiHeadAttentionShapes,
  SelfAttentionRequest,
  SelfAttentionShapes,
} from './layer-fields.ts'
import { compileMultiHeadAttention, compileSelfAttention } from './multi-head-attention.ts'
import { compilePositionalEncoding } from './positional-encoding.ts'
import { PositionalEncodingRequest, PositionalEncodingShapes } from './positional-encoding-fields.ts'
import { compileTransformer } from './transformer.ts'

/** What every compute request says about the form of its answer. */
interface Numerics {
  precision: 'float32' | 'float64'
  encoding: AnswerStyle['encoding']
  output_dtype?: AnswerStyle['dtype'] | undefined
}

export interface Endpoint {
  path: string
  /** name in OpenAPI's operationId */
  name: string
  summary: string
  request: z.ZodType
  /** the same with {"shape": […]} standing for tensors, for `POST /v1/plan` */
  shapes: z.ZodType
  answer: z.ZodType
  compile(request: unknown): RequestProgram
}

export const ENDPOINTS: Endpoint[] = [
  {
    path: '/v1/attention',
    name: 'attention',
    summary: 'Scaled dot-product attention over Q, K, V: output, maps and gradients',
    request: AttentionRequest,
    shapes: AttentionShapes,
    answer: AttentionAnswer,
    compile: request => compileAttention(request as AttentionRequest),
  },
  {
    path: '/v1/self-attention',
    name: 'selfAttention',
    summary: 'Self-attention of x with one head: projections, output, maps and gradients',
    request: SelfAttentionRequest,
    shapes: SelfAttentionShapes,
    answer: SelfAttentionAnswer,
    compile: request => compileSelfAttention(request as SelfAttentionRequest),
  },
  {
    path: '/v1/multi-head-attention',
    name: 'multiHeadAttention',
    summary: 'Multi-head self- or cross-attention: projections, output, maps of every head and gradients',
    request: MultiHeadAttentionRequest,
    shapes: MultiHeadAttentionShapes,
    answer: MultiHeadAttentionAnswer,
    compile: request => compileMultiHeadAttention(request as MultiHeadAttentionRequest),
  },
  {
    path: '/v1/positional-encoding',
    name: 'positionalEncoding',
    summary: 'Sinusoidal, rotary and ALiBi encodings: the tables, or what they make of x',
    request: PositionalEncodingRequest,
    shapes: PositionalEncodingShapes,
    answer: PositionalEncodingAnswer,
    compile: request => compilePositionalEncoding(request as PositionalEncodingRequest),
  },
  {
    path: '/v1/transformer',
    name: 'transformer',
    summary: 'A whole transformer stack at once: output, maps of every layer and head, and all gradients',
    request: TransformerRequest,
    shapes: TransformerShapes,
    answer: TransformerAnswer,
    compile: request => compileTransformer(request as TransformerRequest),
  },
]

export function answerStyle(request: unknown, format: AnswerStyle['format']): AnswerStyle {
  const { precision, encoding, output_dtype } = request as Numerics
  return { format, encoding, dtype: output_dtype ?? precision }
}
