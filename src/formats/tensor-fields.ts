/** Tensors in request schemas: what OpenAPI says of them, and how they are read. */
import * as z from 'zod'
import type { ElementType } from '../../workers/contract.ts'
import type { TensorSource } from './tensor.ts'
import { readTensor, type TensorFault } from './tensor.ts'

const VALUES: ElementType[] = ['float64', 'float32', 'float16', 'bfloat16']
const WHOLE: ElementType[] = ['int32', 'int64']

/** OpenAPI's component of this name is written by hand (openapi.ts). */
const anyTensor = z.unknown().meta({ id: 'Tensor' })

function tensor(allowed: ElementType[], what: string, shapeAlone: boolean) {
  return anyTensor.transform((value, context): TensorSource => {
    const source = readTensor(value, shapeAlone)
    const fault = 'message' in source ? source : dtypeFault(source, allowed, what)
    if (fault === undefined) return source as TensorSource
    context.issues.push({ code: 'custom', message: fault.message, path: fault.path, input: undefined })
    return z.NEVER
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
    values: tensor(VALUES, 'numbers', shapeAlone),
    mask: tensor([...VALUES, 'bool'], 'a bool or float mask', shapeAlone),
    whole: tensor(WHOLE, 'integers', shapeAlone),
  }
}

export type TensorKinds = ReturnType<typeof tensorKinds>
