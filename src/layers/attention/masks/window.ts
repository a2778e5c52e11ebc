/** `window`: a row attends to the keys around its own place. Beltagy et al. 2020 (Longformer), section 3.1. */
import * as z from 'zod'
import type { RowExpr } from '../../../../workers/ops/intervals/op.ts'
import { NumbersSpan, name } from '../../../formats/tensor.ts'
import { fieldProblem } from '../../../problem.ts'
import { distance } from '../../numerics.ts'
import { defineMask } from './mask.ts'

const windowObject = z
  .strictObject({
    left: distance().nullish().describe('keys to the left of the aligned position; null = unbounded'),
    right: distance().nullish().describe('keys to the right of the aligned position; null = unbounded'),
    align: z
      .enum(['top_left', 'bottom_right'])
      .optional()
      .describe('where row i stands among the keys; default as `causal` says, `top_left` without it'),
  })
  .describe(
    'Attend only to keys j in [i − left, i + right], inclusive, with i aligned as `align` or else `causal` says: at P + i with a past of P ' +
      '(`top_left`), or at i + m − n, with m, n that batch’s kv_lengths, q_lengths where given, else P + M, N (`bottom_right`).',
  )

export type Window = z.output<typeof windowObject>

/** A window as libraries write one; a dialect says what it means. */
export type Span = number | [number, number]

export function isSpan(window: unknown): window is Span {
  if (typeof window === 'number') return true
  return Array.isArray(window) && window.length === 2 && window.every(side => typeof side === 'number')
}

const SIDE = { minimum: -1, maximum: 2 ** 40 }
const side = z.int().min(SIDE.minimum).max(SIDE.maximum)
const span = z.union([side, z.tuple([side, side])])

/** A pair of numbers is only located when a body is read. */
const spanField = z
  .unknown()
  .meta({
    anyOf: [
      { type: 'integer', ...SIDE },
      { type: 'array', items: { type: 'integer', ...SIDE }, minItems: 2, maxItems: 2 },
    ],
  })
  .transform((value, context): Span => {
    const parsed = span.safeParse(value instanceof NumbersSpan ? value.toArray(2) : value)
    if (parsed.success) return parsed.data
    const message = `expected an object, got ${name(value)}`
    context.issues.push({ code: 'custom', message, input: undefined })
    return z.NEVER
  })
  .describe('as the library of `dialect` writes it; −1 for unbounded where that is its way')

export const windowSchema = z.union([windowObject, spanField]).meta({ id: 'Window' })

/** Throws the 400 about a window that no dialect has read. */
export function refuseSpan(pointer: string): never {
  const message =
    'expected an object {left, right}, or a dialect beside it that has windows of this form, got neither'
  throw fieldProblem('INVALID_REQUEST', pointer, message)
}

export const window = defineMask({
  fields: () => ({ window: windowSchema.optional() }),
  rows: ({ window }, past) => {
    if (isSpan(window)) refuseSpan('/window')
    const left = window?.left ?? undefined
    const right = window?.right ?? undefined
    if (left === undefined && right === undefined) return undefined
    const place = placeOf(window?.align, past)
    return {
      lo: left === undefined ? undefined : ['-', place, left],
      hi: right === undefined ? undefined : ['+', place, right + 1],
    }
  },
})

function placeOf(align: 'top_left' | 'bottom_right' | undefined, past: number): RowExpr {
  if (align === 'top_left') return ['+', 'i', past]
  return align === 'bottom_right' ? ['+', 'i', ['-', 'keys', 'queries']] : 'aligned'
}
