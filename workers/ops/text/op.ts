/** Reading and writing the elements of tensors; the kernels stand in workers/text. */
import { type ElementType, WRITTEN_BYTES, type WrittenType } from '../../step-types.ts'
import { MOST_BYTES, PRINT_SLACK } from '../../text/print.ts'
import { type Args, data, defineFamily, oneOf, price } from '../define-op.ts'

/** Elements of a unit of base64 or raw bytes: a multiple of 3, so that a unit is whole groups of 4 base64 characters. */
export const UNIT_ELEMENTS = 49152

type Form = 'json' | 'base64' | 'raw'
/** Element types of an answer's tensors. */
type Printed = 'float64' | 'float32' | 'float16' | 'bfloat16' | 'uint8'

/** A JSON tensor has a unit per mark, everything else goes by UNIT_ELEMENTS. */
export function decodeUnits(a: { form: Form; marks: number[]; count: number }): number {
  return a.form === 'json' ? a.marks.length / 2 : Math.max(1, Math.ceil(a.count / UNIT_ELEMENTS))
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

/** Nanoseconds of a byte that is read, and of an element, by how it is written; of one that becomes another type. */
const READ_BYTE = { json: 0.1, base64: 0.2, raw: 0.03 }
const READ = { json: 13, base64: 3, raw: 1 }
const CONVERTED = 22
/** The same of an element that is written, by its type. */
const WRITTEN = {
  json: { float64: 140, float32: 33, float16: 120, bfloat16: 100, uint8: 60 },
  base64: { float64: 12, float32: 6, float16: 14, bfloat16: 15, uint8: 5 },
  raw: { float64: 10, float32: 4.5, float16: 12, bfloat16: 13, uint8: 4 },
}

/** The time that writing `count` elements takes. */
export function encodeNanoseconds(a: { form: Form; dtype: Printed; count: number }): number {
  return a.count * WRITTEN[a.form][a.dtype]
}

/** Of an element that is looked at for NaN. */
const NAN = price(0.23, 0.46)

const family = defineFamily('text')

/**
 * Where the elements of one input tensor stand in the request body, and how they are written there. A JSON tensor has a unit
 * per mark, everything else goes by UNIT_ELEMENTS.
 */
export const decodeTensor = family.define('decodeTensor', {
  tensors: {
    body: 'in:uint8',
    into: 'out:elements',
    /** element 0 is set to 1 when a NaN or ±∞ (other than an allowed −∞) was read */
    seen: 'work?:int32',
  },
  args: {
    form: oneOf('json', 'base64', 'raw'),
    /** byte range in the body; for base64 the text between the quotes */
    start: 'u32',
    end: 'u32',
    /** the element type on the wire: values of `json` form are rounded to it */
    dtype: data<ElementType>(),
    count: 'u32',
    /**
     * `json`: [byte, element] pairs at which a chunk of numbers begins, flattened; the first is [start, 0]. Escaped base64:
     * [byte, character] pairs, ascending, at which reading may begin beside the start.
     */
    marks: data<number[]>(),
    /** the base64 text has JSON escapes in it (`\/`) */
    escaped: 'flag',
    /** refuse NaN and ±∞, and finite numbers that overflow the target's type */
    rejectNonFinite: 'flag',
    /** −∞ is a value like any other (a float mask) */
    allowNegativeInfinity: 'flag',
  },
  units: decodeUnits,
  cost: (a, { precision }) => {
    const element = a.form === 'json' || a.dtype === precision ? READ[a.form] : CONVERTED
    return { nanoseconds: (a.end - a.start) * READ_BYTE[a.form] + a.count * element }
  },
  phase: 'decode',
  shared: true,
})

/**
 * Elements of a result written as the client wants them. Units of UNIT_ELEMENTS elements; a tensor without elements still
 * has one, for its brackets. A step may write a window of them (its `units`), from `firstUnit` on.
 */
export const encodeTensor = family.define('encodeTensor', {
  tensors: {
    values: 'in:elements',
    /** unit firstUnit + i stands at i·encodeSlotBytes(a) */
    into: 'out:uint8',
    /** [slots], how many bytes of each slot are text */
    lengths: 'out:int32',
  },
  args: {
    form: oneOf('json', 'base64', 'raw'),
    /** the element type on the wire; `json` prints the shortest digits that read back to it */
    dtype: data<Printed>(),
    /** the shape whose brackets `json` writes: the tensor's own for nested arrays, [count] for flat ones */
    shape: data<number[]>(),
    count: 'u32',
    /** the unit that stands in the first slot of the text buffer */
    firstUnit: 'u32',
  },
  units: encodeUnits,
  cost: (a, { units }) => ({
    nanoseconds: encodeNanoseconds({ ...a, count: Math.min(a.count, units * UNIT_ELEMENTS) }),
  }),
  phase: 'encode',
  shared: true,
})

/**
 * The elements of a result that leaves as it stands: every NaN gets the bits that a NaN has in an answer. Units of UNIT_ELEMENTS
 * elements.
 */
export const canonicaliseNaNs = family.define('canonicaliseNaNs', {
  tensors: {
    values: 'work:reals',
    /** a number for every `row` elements: where it is finite or −∞ there is no NaN among them */
    guide: 'in?:float64',
  },
  args: { count: 'u32', row: 'u32' },
  units: a => Math.ceil(a.count / UNIT_ELEMENTS),
  cost: (a, { precision: p }) => ({ nanoseconds: a.count * NAN[p] }),
  phase: 'encode',
  shared: true,
})

export type DecodeArgs = Args<typeof decodeTensor>
export type EncodeArgs = Args<typeof encodeTensor>
