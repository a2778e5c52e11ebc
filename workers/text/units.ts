/** How the elements of a tensor are cut into units, and how much room the text of a unit takes. */
import { WRITTEN_BYTES, type WrittenType } from '../contract.ts'
import { MOST_BYTES, PRINT_SLACK } from './print.ts'

/** Elements of a unit of base64 or raw bytes: a multiple of 3, so that a unit is whole groups of 4 base64 characters. */
export const UNIT_ELEMENTS = 49152

type Form = 'json' | 'base64' | 'raw'

/** A JSON tensor has a unit per mark, an escaped base64 text is one unit, everything else goes by UNIT_ELEMENTS. */
export function decodeUnits(a: { form: Form; marks: number[]; escaped: boolean; count: number }): number {
  if (a.form === 'json') return a.marks.length / 2
  return a.form === 'base64' && a.escaped ? 1 : Math.max(1, Math.ceil(a.count / UNIT_ELEMENTS))
}

/** Units of UNIT_ELEMENTS elements; a tensor without elements still has one, for its brackets. */
export function encodeUnits(a: { count: number }): number {
  return Math.max(1, Math.ceil(a.count / UNIT_ELEMENTS))
}

/** The most bytes a unit can take. For raw bytes it is exact, so that the slots make one contiguous tensor. */
export function encodeSlotBytes(a: {
  form: Form
  dtype: WrittenType
  shape: number[]
  count: number
}): number {
  const elements = Math.min(a.count, UNIT_ELEMENTS)
  if (a.form === 'raw') return elements * WRITTEN_BYTES[a.dtype]
  if (a.form === 'base64') return Math.ceil((elements * WRITTEN_BYTES[a.dtype]) / 3) * 4
  if (a.count === 0) return emptyBytes(a.shape)
  const most = a.dtype === 'float64' ? MOST_BYTES.float64 : MOST_BYTES.float32
  return elements * (most + 1) + brackets(a.shape, elements) + PRINT_SLACK
}

/** Elements in the whole tensor, in one of its parts along the first axis, … */
export function arraySizes(shape: number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis).reduce((product, extent) => product * extent, 1))
}

/** Brackets that `elements` elements in a row can have around them. */
function brackets(shape: number[], elements: number): number {
  return arraySizes(shape).reduce((sum, size) => sum + 2 * Math.ceil(elements / size) + 2, 0)
}

function emptyBytes([extent, ...rest]: number[]): number {
  return extent === 0 ? 2 : 1 + extent * (emptyBytes(rest) + 1)
}
