/** Tensors in request schemas: what OpenAPI says of them, and how they are read. */
import * as z from 'zod'
import type { ElementType } from '../../workers/contract.ts'
import type { TensorSource } from './tensor.ts'
import { FileTensor, readTensor, type TensorFault } from './tensor.ts'

const VALUES: ElementType[] = ['float64', 'float32', 'float16', 'bfloat16']
const WHOLE: ElementType[] = ['int32', 'int64']
const NUMBERS = 'numbers'

/** OpenAPI's component of this name is written by hand (openapi.ts). */
const anyTensor = z.unknown().meta({ id: 'Tensor' })

/** As many faults as an answer lists: to make an error of each of thousands takes its time. */
export const MOST_WRONG = 20

function read(value: unknown, allowed: ElementType[], what: string, shapeAlone: boolean) {
  const source = readTensor(value, shapeAlone)
  if ('message' in source) return source
  const fault = dtypeFault(source, allowed, what)
  // what is no value of JSON has no members
  return fault === undefined ? source : { ...fault, path: value instanceof FileTensor ? [] : fault.path }
}

function tensor(allowed: ElementType[], what: string, shapeAlone: boolean) {
  return anyTensor.transform((value, context): TensorSource => {
    const source = read(value, allowed, what, shapeAlone)
    if (!('message' in source)) return source
    context.issues.push({ code: 'custom', message: source.message, path: source.path, input: undefined })
    return z.NEVER
  })
}

/** Tensors of numbers by any names; looked at up to the last wrong one that an answer tells of. */
function named(shapeAlone: boolean) {
  return z.record(z.string(), anyTensor).transform((values, context): Record<string, TensorSource> => {
    const sources: Record<string, TensorSource> = {}
    let wrong = 0
    for (const name of Object.keys(values)) {
      const source = read(values[name], VALUES, NUMBERS, shapeAlone)
      if (!('message' in source)) {
        sources[name] = source
        continue
      }
      const { message, path } = source
      context.issues.push({ code: 'custom', message, path: [name, ...path], input: undefined })
      if (++wrong === MOST_WRONG) break
    }
    return sources
  })
}

function dtypeFault(source: TensorSource, allowed: ElementType[], what: string): TensorFault | undefined {
  if (allowed.includes(source.dtype) || source.form === 'shape') return undefined
  // numbers in JSON without a dtype are float64; where whole numbers are wanted they are checked one by one
  if (allowed === WHOLE && source.dtype === 'float64' && source.form !== 'safetensors') return undefined
  // an empty array says nothing of its type
  if (source.count === 0 && source.form === 'nested') return undefined
  const where = source.form === 'flat' || source.form === 'base64' ? ['dtype'] : []
  return { path: where, message: `expected ${what} (${allowed.join(', ')}), got ${source.dtype}` }
}

/** The kinds of tensor fields; `shapeAlone` lets {"shape": […]} stand for a tensor, as in `POST /v1/plan`. */
export function tensorKinds(shapeAlone: boolean) {
  return {
    shapeAlone,
    values: tensor(VALUES, NUMBERS, shapeAlone),
    named: named(shapeAlone),
    /** what was computed elsewhere, in whatever type that was */
    candidates: tensor([...VALUES, 'float8_e4m3'], NUMBERS, shapeAlone),
    mask: tensor([...VALUES, 'bool'], 'a bool or float mask', shapeAlone),
    whole: tensor(WHOLE, 'integers', shapeAlone),
  }
}

export type TensorKinds = ReturnType<typeof tensorKinds>
