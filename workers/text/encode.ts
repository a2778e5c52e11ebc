/** The elements of one result: as JSON text, base64 or raw bytes, unit by unit into slots of a text buffer. */

import type { Args, Tensors } from '../ops/define-op.ts'
import {
  arraySizes,
  type canonicaliseNaNs as canonicalise,
  type EncodeArgs,
  encodeSlotBytes,
  type encodeTensor as op,
  UNIT_ELEMENTS,
} from '../ops/text/op.ts'
import { WRITTEN_BYTES } from '../step-types.ts'
import { roundTo, toBfloat16, toFloat16 } from './float16.ts'
import { printFloat64 } from './print.ts'
import type { TextKernels } from './text-kernels.ts'

export { encodeSlotBytes, encodeUnits } from '../ops/text/op.ts'

/** Little-endian: the one quiet NaN of an answer, without a sign. */
const NAN_BYTES = {
  float16: [0x00, 0x7e],
  bfloat16: [0xc0, 0x7f],
  float32: [0x00, 0x00, 0xc0, 0x7f],
  float64: [0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf8, 0x7f],
}

type EncodeTensors = Tensors<typeof op>

/** Range = slots: the units firstUnit + from … firstUnit + to − 1. */
export function encodeTensor(
  t: EncodeTensors,
  a: EncodeArgs,
  from: number,
  to: number,
  kernels: TextKernels,
): void {
  const slotBytes = encodeSlotBytes(a)
  for (let slot = from; slot < to; slot++) {
    const first = (a.firstUnit + slot) * UNIT_ELEMENTS
    const last = Math.min(a.count, first + UNIT_ELEMENTS)
    const slotStart = slot * slotBytes
    const end =
      a.form === 'json'
        ? encodeJson(kernels, t, a, first, last, slotStart)
        : encodeBytes(t, a, first, last, slotStart)
    t.lengths[slot] = end - slotStart
  }
}

/** Range = units of UNIT_ELEMENTS elements. */
export function canonicaliseNaNs(
  { values, guide }: Tensors<typeof canonicalise>,
  { count, row }: Args<typeof canonicalise>,
  from: number,
  to: number,
  kernels: TextKernels,
): void {
  const { BYTES_PER_ELEMENT: size, byteOffset } = values
  const end = Math.min(count, to * UNIT_ELEMENTS)
  const look = (first: number, last: number) =>
    kernels.canonicaliseNaNs(byteOffset + first * size, last - first, Number(size === 8))
  const first = from * UNIT_ELEMENTS
  if (guide === undefined) look(first, end)
  else {
    for (let index = Math.floor(first / row); index * row < end; index++) {
      const told = guide[index]
      if (Number.isFinite(told) || told === Number.NEGATIVE_INFINITY) continue
      look(Math.max(first, index * row), Math.min(end, (index + 1) * row))
    }
  }
}

/** The same without kernels, for few elements. */
export function canonicaliseFew(values: Float32Array | Float64Array): void {
  const { buffer, byteOffset, BYTES_PER_ELEMENT: size } = values
  for (let index = 0; index < values.length; index++) {
    if (!Number.isNaN(values[index])) continue
    new Uint8Array(buffer, byteOffset + index * size, size).set(NAN_BYTES[size === 8 ? 'float64' : 'float32'])
  }
}

function encodeJson(
  kernels: TextKernels,
  { values, into }: EncodeTensors,
  a: EncodeArgs,
  first: number,
  last: number,
  start: number,
): number {
  let at = start
  if (a.count === 0) {
    for (const byte of Buffer.from(emptyText(a.shape))) into[at++] = byte
    return at
  }
  // elements in one innermost array, in one of the arrays around it, …: an array opens and closes at multiples of these
  const sizes = arraySizes(a.shape).toReversed()
  if (a.dtype === 'float32' && !(values instanceof Uint8Array)) {
    const wide = Number(values instanceof Float64Array)
    const [row = 0, ...around] = sizes
    const { byteOffset: address } = into
    return kernels.printElements(values.byteOffset, wide, first, last, address + at, row, ...around) - address
  }
  for (let index = first; index < last; index++) {
    if (index > 0) into[at++] = 0x2c
    for (const size of sizes) if (index % size === 0) into[at++] = 0x5b
    at = print(kernels, a.dtype, values[index], into, at)
    for (const size of sizes) if ((index + 1) % size === 0) into[at++] = 0x5d
  }
  return at
}

/** Halves are printed with the digits that tell them from other float32 values. */
function print(
  kernels: TextKernels,
  dtype: EncodeArgs['dtype'],
  value: number,
  into: Uint8Array,
  at: number,
): number {
  if (dtype === 'float64') return printFloat64(value, into, at)
  return kernels.printFloat32(roundTo(dtype, value), into.byteOffset + at) - into.byteOffset
}

function encodeBytes(t: EncodeTensors, a: EncodeArgs, first: number, last: number, start: number): number {
  const size = WRITTEN_BYTES[a.dtype]
  const bytes = new Uint8Array((last - first) * size)
  const view = new DataView(bytes.buffer)
  for (let index = first; index < last; index++) {
    const at = (index - first) * size
    const value = t.values[index]
    if (a.dtype === 'uint8') bytes[at] = value
    else if (Number.isNaN(value)) bytes.set(NAN_BYTES[a.dtype], at)
    else if (a.dtype === 'float32') view.setFloat32(at, value, true)
    else if (a.dtype === 'float64') view.setFloat64(at, value, true)
    else view.setUint16(at, a.dtype === 'float16' ? toFloat16(value) : toBfloat16(value), true)
  }
  if (a.form === 'raw') {
    t.into.set(bytes, start)
    return start + bytes.length
  }
  const text = Buffer.from(bytes.buffer).toString('base64')
  return start + Buffer.from(t.into.buffer, t.into.byteOffset + start).write(text, 'latin1')
}

/** The brackets of a shape without elements: [2,0] → [[],[]]. */
function emptyText(shape: number[]): string {
  const [extent, ...rest] = shape
  return extent === 0 ? '[]' : `[${Array(extent).fill(emptyText(rest)).join(',')}]`
}
