/** How numbers come in and go out, and the ranges of options. */
import * as z from 'zod'

/** Largest finite float32: options are numbers both precisions can hold. */
export const FLOAT32_MAX = 3.4028234663852886e38

export const real = () => z.number().min(-FLOAT32_MAX).max(FLOAT32_MAX)
/** Least positive number of an option: its reciprocal is one that both precisions can hold. */
export const LEAST_POSITIVE = 1e-30
export const positive = () => z.number().min(LEAST_POSITIVE).max(FLOAT32_MAX)
export const offset = () =>
  z
    .int()
    .min(-(2 ** 40))
    .max(2 ** 40)

const MOST_HEADS = 65536
const MOST_DIM = 2 ** 24

export const heads = () => z.int().min(1).max(MOST_HEADS)
export const dimension = () => z.int().min(1).max(MOST_DIM)

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
  return z.array(z.unknown()).max(most).pipe(z.array(name)).meta({ items })
}

export function returns<const T extends readonly [string, ...string[]]>(names: T) {
  return nameList(z.enum(names), names.length)
    .default(['output' as never])
    .describe('what to answer beside loss and gradients')
}
