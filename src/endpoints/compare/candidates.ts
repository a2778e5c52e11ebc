/** The tensors that a candidate for an answer holds, by the names that the answer's own have: `output`, `grads.q`, `layers.0.weights`. */
import type * as z from 'zod'
import { isTree } from '../../formats/body.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import type { TensorKinds } from '../../formats/tensor-fields.ts'

export interface Candidate {
  name: string
  /** below the body's root */
  path: PropertyKey[]
  source: TensorSource
}

/** What a tensor in JSON has, as an object. */
const TENSOR_FIELDS = ['shape', 'data', 'base64']
const MOST_LEVELS = 8

type Issues = z.core.$ZodRawIssue[]

/** Adds what is wrong to the issues. */
export function readCandidates(tree: unknown, tensors: TensorKinds, issues: Issues): Candidate[] {
  const found: Candidate[] = []
  const read = (value: unknown, path: PropertyKey[]): void => {
    const levels = isTree(value) && !TENSOR_FIELDS.some(field => Object.hasOwn(value, field))
    const list = Array.isArray(value) && value.length > 0 && isTree(value[0])
    if ((levels || list) && path.length < MOST_LEVELS) {
      for (const [key, member] of Object.entries(value)) read(member, [...path, list ? Number(key) : key])
      return
    }
    const parsed = tensors.candidates.safeParse(value)
    const at = ['candidate', ...path]
    if (parsed.success) {
      found.push({ name: path.join('.'), path: at, source: parsed.data as TensorSource })
      return
    }
    for (const { message, path: below } of parsed.error.issues) {
      issues.push({ code: 'custom', message, path: [...at, ...below], input: undefined })
    }
  }
  read(tree, [])
  return found
}
