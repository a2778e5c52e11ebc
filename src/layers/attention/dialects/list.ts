/** The dialects. A new one is a file beside these and a line here. */
import type { Dialect } from './dialect.ts'
import { flashAttn } from './flash-attn.ts'
import { jax } from './jax.ts'
import { onnx23 } from './onnx-23.ts'
import { onnx24 } from './onnx-24.ts'
import { onnx25 } from './onnx-25.ts'
import { torchMha } from './torch-mha.ts'
import { torchSdpa } from './torch-sdpa.ts'
import { transformers } from './transformers.ts'

const LIST = {
  'torch-sdpa': torchSdpa,
  'torch-mha': torchMha,
  'flash-attn': flashAttn,
  'onnx-23': onnx23,
  'onnx-24': onnx24,
  'onnx-25': onnx25,
  jax,
  transformers,
}

export type DialectName = keyof typeof LIST
export const DIALECTS: Record<DialectName, Dialect> = LIST
export const DIALECT_NAMES = Object.keys(LIST) as [DialectName, ...DialectName[]]
