/** The compute endpoints: path → what its body must be and how it becomes a program. A new layer is one line here. */
import type * as z from 'zod'
import { AttentionRequest, AttentionShapes } from '../layers/attention/fields.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { TransformerRequest, TransformerShapes } from '../layers/stack-fields.ts'
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

/** How a request becomes a program: all that serving it takes. */
export interface Compilable<R = unknown> {
  request: z.ZodType<R>
  /** Throws the Problem that says what is wrong between the fields. Reads no tensor's elements, takes no memory. */
  compile(p: RequestProgram, request: R): void
}

export interface Endpoint<R = unknown> extends Compilable<R> {
  path: string
  /** name in OpenAPI's operationId */
  name: string
  summary: string
  /** the request with {"shape": […]} standing for tensors, for `POST /v1/plan` */
  shapes: z.ZodType<R>
  answer: z.ZodType
}

export const ENDPOINTS: Endpoint[] = [
  {
    path: '/v1/attention',
    name: 'attention',
    summary: 'Scaled dot-product attention over Q, K, V: output, maps and gradients',
    request: AttentionRequest,
    shapes: AttentionShapes,
    answer: AttentionAnswer,
    compile: compileAttention,
  },
  {
    path: '/v1/self-attention',
    name: 'selfAttention',
    summary: 'Self-attention of x with one head: projections, output, maps and gradients',
    request: SelfAttentionRequest,
    shapes: SelfAttentionShapes,
    answer: SelfAttentionAnswer,
    compile: compileSelfAttention,
  },
  {
    path: '/v1/multi-head-attention',
    name: 'multiHeadAttention',
    summary: 'Multi-head self- or cross-attention: projections, output, maps of every head and gradients',
    request: MultiHeadAttentionRequest,
    shapes: MultiHeadAttentionShapes,
    answer: MultiHeadAttentionAnswer,
    compile: compileMultiHeadAttention,
  },
  {
    path: '/v1/positional-encoding',
    name: 'positionalEncoding',
    summary: 'Sinusoidal, rotary and ALiBi encodings: the tables, or what they make of x',
    request: PositionalEncodingRequest,
    shapes: PositionalEncodingShapes,
    answer: PositionalEncodingAnswer,
    compile: compilePositionalEncoding,
  },
  {
    path: '/v1/transformer',
    name: 'transformer',
    summary: 'A whole transformer stack at once: output, maps of every layer and head, and all gradients',
    request: TransformerRequest,
    shapes: TransformerShapes,
    answer: TransformerAnswer,
    compile: compileTransformer,
  },
]
