/** The elements of one input tensor: from JSON text, base64 or raw bytes into a program's buffer. */

import type { Tensors } from '../ops/define-op.ts'
import { type DecodeArgs, type decodeTensor as op, UNIT_ELEMENTS } from '../ops/text/op.ts'
import { ELEMENT_BYTES, type ElementType, type Fault } from '../step-types.ts'
import { fromFloat8 } from './float8.ts'
import { fromBfloat16, fromFloat16, roundTo } from './float16.ts'
import { isDigit, latin1 } from './json-cursor.ts'
import { nearestFloat32 } from './nearest-float32.ts'
import { ELEMENT_TYPE, type TextKernels } from './text-kernels.ts'
import { unescaped } from './unescape.ts'

export { decodeUnits } from '../ops/text/op.ts'

type DecodeTensors = Tensors<typeof op>
type Target = DecodeTensors['into']

/** Returns the fault of the first element (of its range) that cannot be, if any; `into` is then only partly written. */
export function decodeTensor(
  t: DecodeTensors,
  a: DecodeArgs,
  from: number,
  to: number,
  kernels: TextKernels,
): Fault | undefined {
  return a.form === 'json' ? decodeJson(kernels, t, a, from, to) : decodeBytes(t, a, from, to)
}

/** What comes as bytes or base64. */
export function decodeBytes(t: DecodeTensors, a: DecodeArgs, from: number, to: number): Fault | undefined {
  if (a.form === 'base64') return decodeBase64(t, a, from, to)
  const first = from * UNIT_ELEMENTS
  const last = Math.min(a.count, to * UNIT_ELEMENTS)
  const size = ELEMENT_BYTES[a.dtype]
  return decodeRaw(t, a, t.body.subarray(a.start + first * size, a.start + last * size), first)
}

/**
 * Numbers without a dtype are float64: each becomes the nearest float64, and that the nearest float32 where the target is
 * one. Of dtype float32 they become the nearest float32 directly. float16 and bfloat16 are rounded from the float64.
 */
function decodeJson(
  kernels: TextKernels,
  t: DecodeTensors,
  a: DecodeArgs,
  from: number,
  to: number,
): Fault | undefined {
  const { body, into } = t
  const check = new Checked(t, a)
  const start = body.byteOffset
  const end = start + (2 * to < a.marks.length ? a.marks[2 * to] : a.end)
  const direct = a.dtype === 'float32' && into instanceof Float32Array
  const half = a.dtype === 'float16' || a.dtype === 'bfloat16' || a.dtype === 'float8_e4m3'
  let at = start + a.marks[2 * from]
  let index = a.marks[2 * from + 1]
  for (;;) {
    if (!half) {
      kernels.readElements(at, end, into.byteOffset, index, targetType(into), Number(direct))
      at = kernels.position
      index = kernels.index
    }
    if (at >= end) return undefined
    // what stands here was left over
    const place = at - start
    const byte = body[place]
    if (byte === 0x2d || isDigit(byte)) {
      at = kernels.skipNumber(at)
      const text = latin1(body, place, at - start)
      if (!check.put(index, direct ? nearestFloat32(text) : Number(text)))
        return check.fault(index, text.slice(0, 40))
      index++
    } else if (byte === 0x22) {
      const word = latin1(body, place + 1, body.indexOf(0x22, place + 1))
      at += word.length + 2
      if (!check.put(index, Number(word), true)) return check.fault(index, `"${word}"`)
      index++
    } else if (byte === 0x74 || byte === 0x66) {
      if (!check.put(index, byte === 0x74 ? 1 : 0))
        return check.fault(index, byte === 0x74 ? 'true' : 'false')
      at += byte === 0x74 ? 4 : 5
      index++
    } else {
      at++ // brackets, commas, white space
    }
  }
}

function targetType(into: Target): number {
  if (into instanceof Float32Array) return ELEMENT_TYPE.float32
  if (into instanceof Float64Array) return ELEMENT_TYPE.float64
  return into instanceof Int32Array ? ELEMENT_TYPE.int32 : ELEMENT_TYPE.uint8
}

function decodeBase64(t: DecodeTensors, a: DecodeArgs, from: number, to: number): Fault | undefined {
  const size = ELEMENT_BYTES[a.dtype]
  for (let unit = from; unit < to; unit++) {
    const first = unit * UNIT_ELEMENTS
    const last = Math.min(a.count, first + UNIT_ELEMENTS)
    const length = (last - first) * size
    const text = base64Text(t, a, ((first * size) / 3) * 4, charactersOf(length), last === a.count)
    const bytes = fromBase64(text, length)
    if (bytes === undefined) return badBase64(length, text.length)
    const fault = decodeRaw(t, a, bytes, first)
    if (fault !== undefined) return fault
  }
  return undefined
}

function charactersOf(bytes: number): number {
  return Math.ceil(bytes / 3) * 4
}

/** A unit's characters; the last one has what is left, where that is wrong one more than it should. */
function base64Text(
  { body }: DecodeTensors,
  a: DecodeArgs,
  from: number,
  characters: number,
  isLast: boolean,
): string {
  if (a.escaped) return unescaped(body, a, from, characters + Number(isLast))
  return latin1(body, a.start + from, isLast ? a.end : a.start + from + characters)
}

/** Strict base64: the standard alphabet, padded, nothing else; undefined if it is not just that for `size` bytes. */
function fromBase64(text: string, size: number): Uint8Array | undefined {
  if (text.length !== charactersOf(size)) return undefined
  try {
    const bytes = Uint8Array.fromBase64(text, { lastChunkHandling: 'strict' })
    return bytes.length === size ? bytes : undefined
  } catch {
    return undefined
  }
}

function badBase64(size: number, characters: number): Fault {
  const found = `${characters} characters that are not the base64 of ${size} bytes`
  return { kind: 'bad_base64', index: -1, found }
}

/** Little-endian elements at any alignment. `bytes` begins with element `first`. */
function decodeRaw(t: DecodeTensors, a: DecodeArgs, bytes: Uint8Array, first: number): Fault | undefined {
  const check = new Checked(t, a)
  const count = bytes.length / ELEMENT_BYTES[a.dtype]
  if (sameType(a.dtype, t.into)) {
    const into = t.into
    const at = into.byteOffset + first * into.BYTES_PER_ELEMENT
    // a tensor that is used where it stands in the body is its own target
    const inPlace = into.buffer === bytes.buffer && at === bytes.byteOffset
    if (!inPlace) new Uint8Array(into.buffer, at, bytes.length).set(bytes)
    const wrong = check.first(first, first + count)
    return wrong < 0 ? undefined : check.fault(wrong, String(into[wrong]))
  }
  const read = reader(a.dtype, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  for (let index = 0; index < count; index++) {
    const value = read(index)
    if (a.dtype === 'bool' && value > 1) return check.fault(first + index, `byte ${value}`)
    if (!check.put(first + index, value)) return check.fault(first + index, String(value))
  }
  return undefined
}

function sameType(dtype: ElementType, into: Target): boolean {
  return (
    (dtype === 'float32' && into instanceof Float32Array) ||
    (dtype === 'float64' && into instanceof Float64Array)
  )
}

function reader(dtype: ElementType, view: DataView): (index: number) => number {
  switch (dtype) {
    case 'float64':
      return index => view.getFloat64(8 * index, true)
    case 'float32':
      return index => view.getFloat32(4 * index, true)
    case 'float16':
      return index => fromFloat16(view.getUint16(2 * index, true))
    case 'bfloat16':
      return index => fromBfloat16(view.getUint16(2 * index, true))
    case 'float8_e4m3':
      return index => fromFloat8(dtype, view.getUint8(index))
    case 'int32':
      return index => view.getInt32(4 * index, true)
    case 'int64':
      return index => Number(view.getBigInt64(8 * index, true))
    case 'bool':
      return index => view.getUint8(index)
  }
}

/** Writes values where they belong and says which cannot be. */
class Checked {
  readonly #into: Target
  readonly #seen: Int32Array | undefined
  readonly #args: DecodeArgs
  readonly #real: boolean
  readonly #rounds: boolean

  constructor({ into, seen }: DecodeTensors, args: DecodeArgs) {
    this.#into = into
    this.#seen = seen
    this.#args = args
    this.#real = into instanceof Float32Array || into instanceof Float64Array
    this.#rounds = this.#real && args.dtype !== 'float64' && args.dtype !== 'bool'
  }

  /** `word`: the value was written as "NaN" or "±Infinity", not as a number that overflowed. */
  put(index: number, value: number, word = false): boolean {
    const into = this.#into
    const rounded = this.#rounds ? roundTo(this.#args.dtype, value) : value
    into[index] = rounded
    if (this.#real) {
      const stored = into[index]
      if (stored - stored === 0) return true
      // a finite number that became an infinity is never what was meant, even as a mask's −∞
      const overflowed = Number.isFinite(value) || (this.#args.form === 'json' && !word)
      return !(overflowed && this.#args.rejectNonFinite) && this.#nonFinite(stored)
    }
    return into[index] === value && (into instanceof Int32Array || value === 0 || value === 1)
  }

  /** The first element in [from, to), already written, that cannot be; −1 if all can. */
  first(from: number, to: number): number {
    const into = this.#into
    let at = nonFinite(into, from, to)
    while (at >= 0 && this.#nonFinite(into[at])) at = nonFinite(into, at + 1, to)
    return at
  }

  #nonFinite(value: number): boolean {
    if (value === Number.NEGATIVE_INFINITY && this.#args.allowNegativeInfinity) return true
    if (this.#seen !== undefined) this.#seen[0] = 1
    return !this.#args.rejectNonFinite
  }

  fault(index: number, found: string): Fault {
    if (!this.#real) return { kind: 'bad_element', index, found }
    return {
      kind: Number.isFinite(Number(found)) || /\d/.test(found) ? 'overflow' : 'non_finite',
      index,
      found,
    }
  }
}

/** Index of the first NaN or ±∞ in [from, to), −1 if there is none: x − x is 0 for every other number. */
function nonFinite(values: Target, from: number, to: number): number {
  for (let index = from; index < to; index++) {
    const value = values[index]
    if (value - value !== 0) return index
  }
  return -1
}
