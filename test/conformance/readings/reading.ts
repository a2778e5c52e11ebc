/** How a node of ONNX is read as a request of ours: the adapter, an operator at a time. */
import { ENDPOINTS } from '../../../src/endpoints/index.ts'
import type { FileTensor } from '../../service/safetensors-file.ts'
import type { OnnxCase, Tensors } from '../onnx-cases.ts'
import type { Asked } from '../pipeline.ts'

export interface Read extends Asked {
  /** by the node's output, what of the answer it is */
  outputs: Record<string, (answer: Tensors) => FileTensor>
}

export interface Reading {
  operator: string
  /** by what it is computed, and what is compared: a line of the scoreboard */
  how: string
  read(of: OnnxCase): Read
  /** outputs of the operator that the service does not have: they are not compared */
  without?: string[]
  /** what the service does not have yet and the case needs */
  awaits?(of: OnnxCase): string | undefined
}

export function endpointAt(path: string) {
  const endpoint = ENDPOINTS.find(each => each.path === path)
  if (endpoint === undefined) throw new Error(`no endpoint ${path}`)
  return endpoint
}

const DTYPES: Record<string, string> = { F64: 'float64', F32: 'float32', F16: 'float16', BF16: 'bfloat16' }

/** ONNX's outputs have the type of its inputs; ours are float32 unless asked for otherwise. */
export function inTypeOf({ dtype }: FileTensor) {
  return { output_dtype: DTYPES[dtype] }
}

/** An attribute that is a number, as ONNX defines it where the node has none. */
export function numberOf({ attributes }: OnnxCase, name: string, usual: number): number {
  return Number(attributes[name] ?? usual)
}
