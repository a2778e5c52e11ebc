/** Runs ONNX's cases through the pipeline. */
import { faultOf } from './compare.ts'
import type { OnnxCase } from './onnx-cases.ts'
import type { Pipeline } from './pipeline.ts'
import { readingOf } from './readings/index.ts'

export const PRECISIONS = ['float32', 'float64'] as const
export type Precision = (typeof PRECISIONS)[number]

export interface Outcome {
  of: OnnxCase
  precision: Precision
  /** what the service does not have yet: the case has not been run */
  awaits?: string | undefined
  /** what is wrong, by output; none where the case passes */
  faults: string[]
}

export async function runCases(pipeline: Pipeline, cases: OnnxCase[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const precision of PRECISIONS) {
    for (const of of cases) {
      const awaits = readingOf(of.operator).awaits?.(of)
      const faults = awaits === undefined ? await faultsOf(pipeline, of, precision) : []
      outcomes.push({ of, precision, awaits, faults })
    }
  }
  return outcomes
}

/** A reading may name a precision itself. */
export async function faultsOf(pipeline: Pipeline, of: OnnxCase, precision: Precision): Promise<string[]> {
  const reading = readingOf(of.operator)
  const { outputs, fields, ...rest } = reading.read(of)
  try {
    const answer = await pipeline.ask({ ...rest, fields: { precision, ...fields } })
    const compared = Object.keys(of.outputs).filter(name => !reading.without?.includes(name))
    const faults = compared.map(name => [name, faultOf(outputs[name](answer), of.outputs[name])])
    return faults.flatMap(([name, fault]) => (fault === undefined ? [] : [`${name}: ${fault}`]))
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)]
  }
}
