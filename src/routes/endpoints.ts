/** The compute endpoints: path → what its body must be and how it becomes a program. A new layer is one line here. */
import type * as z from 'zod'
import { compileAttention } from '../programs/compile-attention.ts'
import type { RequestProgram } from '../programs/request-program.ts'
import { AttentionAnswer } from '../schemas/answer.ts'
import { AttentionRequest, AttentionShapes } from '../schemas/attention.ts'
import type { AnswerStyle } from './answer.ts'

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
]

export function answerStyle(request: unknown, format: AnswerStyle['format']): AnswerStyle {
  const { precision, encoding, output_dtype } = request as Numerics
  return { format, encoding, dtype: output_dtype ?? precision }
}
