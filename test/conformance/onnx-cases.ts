/** The cases that ONNX tests a backend by, as onnx/make-cases.py has written them. */
import { readFileSync } from 'node:fs'
import { type FileTensor, readFileTensors } from '../service/safetensors-file.ts'

export type Tensors = Record<string, FileTensor>

/** A model of one node, its inputs, and what ONNX expects of it. Names are the operator's own. */
export interface OnnxCase {
  name: string
  operator: string
  opset: number
  attributes: Record<string, number | string>
  inputs: Tensors
  outputs: Tensors
}

interface Written extends Omit<OnnxCase, 'inputs' | 'outputs'> {
  /** by name, the tensor's name in the operator's file */
  inputs: Record<string, string>
  outputs: Record<string, string>
}

const FOLDER = new URL('onnx/', import.meta.url)

export function readCases(): { version: string; cases: OnnxCase[] } {
  const { onnx, cases }: { onnx: string; cases: Written[] } = JSON.parse(
    readFileSync(new URL('cases.json', FOLDER), 'utf8'),
  )
  const files = new Map<string, Tensors>()
  const tensorsOf = (operator: string, names: Record<string, string>): Tensors => {
    const file = files.get(operator) ?? readOperator(operator)
    files.set(operator, file)
    return Object.fromEntries(Object.entries(names).map(([name, at]) => [name, file[at]]))
  }
  return {
    version: onnx,
    cases: cases.map(({ inputs, outputs, ...rest }) => ({
      ...rest,
      inputs: tensorsOf(rest.operator, inputs),
      outputs: tensorsOf(rest.operator, outputs),
    })),
  }
}

/** RMSNormalization stands in rms-normalization.safetensors. */
function readOperator(operator: string): Tensors {
  const name = operator.replaceAll(/(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])/g, '-').toLowerCase()
  return readFileTensors(readFileSync(new URL(`${name}.safetensors`, FOLDER))).tensors
}
