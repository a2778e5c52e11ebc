/** How numbers come in and go out, and the ranges of options. */
import * as z from 'zod'
import { MOST_WRONG } from '../formats/tensor-fields.ts'

/** Largest finite float32: options are numbers both precisions can hold. */
export const FLOAT32_MAX = 3.4028234663852886e38

export const real = () => z.number().min(-FLOAT32_MAX).max(FLOAT32_MAX)
/** Least positive number of an option: its reciprocal is one that both precisions can hold. */
export const LEAST_POSITIVE = 1e-30
export const positive = () => z.number().min(LEAST_POSITIVE).max(FLOAT32_MAX)
/** No position is further away: clients write such numbers for what has no end. */
const MOST_DISTANCE = 2 ** 40
export const offset = () => z.int().min(-MOST_DISTANCE).max(MOST_DISTANCE)
export const distance = () => z.int().min(0).max(MOST_DISTANCE)

const MOST_HEADS = 65536
const MOST_DIM = 2 ** 24

export const heads = () => z.int().min(1).max(MOST_HEADS)
export const dimension = () => z.int().min(1).max(MOST_DIM)
/** Elements of a row that come in pairs. */
export const pairedDimension = () => z.int().min(2).max(MOST_DIM)

export const numerics = {
  precision: z
    .enum(['float32', 'float64'])
    .default('float32')
    .describe('`float32`: SIMD kernels; `float64`: the reference kernels'),
  non_finite: z
    .enum(['reject', 'propagate'])
    .default('reject')
    .describe(
      '`reject`: a NaN or infinity in any input is a 400 that names its place (−∞ in a float mask is no fault)',
    ),
  encoding: z
    .enum(['nested', 'flat', 'base64'])
    .default('nested')
    .describe('how tensors are written in a JSON answer'),
  output_dtype: z
    .enum(['float64', 'float32', 'float16', 'bfloat16'])
    .optional()
    .describe('element type of the tensors in the answer; default: the precision'),
}

/** A list of at most `most` names: they are counted before any of them is looked at. */
export function nameList<T extends string>(name: z.ZodType<T>, most: number) {
  const { $schema: _, ...items } = z.toJSONSchema(name, { io: 'input' })
  const listed = z.array(z.unknown()).max(most)
  // short lists, which most are, need not be looked at twice
  const bounded = most <= MOST_WRONG ? listed : listed.transform(list => upToWrong(list, name))
  return bounded.pipe(z.array(name)).meta({ items })
}

/** The list up to the last wrong name that an answer tells of: to make an error of each takes its time. */
function upToWrong(list: unknown[], name: z.ZodType): unknown[] {
  let wrong = 0
  for (const [index, item] of list.entries()) {
    if (name.safeParse(item).success) continue
    wrong++
    if (wrong === MOST_WRONG) return list.slice(0, index + 1)
  }
  return list
}

export function returns<const T extends readonly [string, ...string[]]>(names: T) {
  return nameList(z.enum(names), names.length)
    .default(['output' as never])
    .describe('what to answer beside loss and gradients')
}
