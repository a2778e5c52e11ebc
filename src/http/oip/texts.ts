/** Inputs of datatype BYTES: texts, as strings in the JSON text or each behind its length among the bytes that follow it. */
import { isUtf8 } from 'node:buffer'
import { NumbersSpan, name as nameOf } from '../../formats/tensor.ts'
import { textOf } from '../../formats/text-field.ts'
import { fieldProblem } from '../../problem.ts'

/** Bytes of the length before each, a little-endian number. */
const PREFIX = 4

/** `at` is where the input stands. */
export function textsOfBytes(bytes: Uint8Array, count: number, at: string): string[] {
  const wrong = (message: string) =>
    fieldProblem('INVALID_TENSOR', `${at}/parameters/binary_data_size`, message)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const texts: string[] = []
  let next = 0
  while (texts.length < count) {
    const index = texts.length
    const begin = next + PREFIX
    if (begin > bytes.length) throw wrong(`expected ${count} texts behind their lengths, got ${index}`)
    const length = view.getUint32(next, true)
    if (length > bytes.length - begin) {
      throw wrong(
        `expected ${length} bytes of text ${index}, as the length before it says, got ${bytes.length - begin}`,
      )
    }
    next = begin + length
    const text = Buffer.from(bytes.subarray(begin, next))
    if (!isUtf8(text)) throw wrong(`expected text ${index} in UTF-8, got other bytes`)
    texts.push(text.toString('utf8'))
  }
  if (next < bytes.length) throw wrong(`expected ${next} bytes for ${count} texts, got ${bytes.length}`)
  return texts
}

/** Flat, or nested. */
export function textsOfJson(data: unknown, count: number, at: string): string[] {
  const wrong = (message: string, index?: number) =>
    fieldProblem('INVALID_TENSOR', `${at}/data${index === undefined ? '' : `/${index}`}`, message)
  if (data === undefined) {
    throw fieldProblem('INVALID_TENSOR', at, 'expected data or parameters.binary_data_size, got neither')
  }
  if (!Array.isArray(data) && !(data instanceof NumbersSpan)) {
    throw wrong(`expected an array of strings (datatype BYTES), got ${nameOf(data)}`)
  }
  const items = flat(data, MOST_DEPTH)
  if (items.length !== count) throw wrong(`expected ${count} strings, as the shape says, got ${items.length}`)
  return items.map((item, index) => {
    const text = textOf(item)
    if (text === undefined) throw wrong(`expected a string, got ${nameOf(item)}`, index)
    return text
  })
}

const MOST_DEPTH = 8

/** Lists of nothing but "NaN" and "Infinity" have been taken for numbers. */
function flat(value: unknown, depth: number): unknown[] {
  if (value instanceof NumbersSpan) {
    const { start, end } = value.span
    return flat(JSON.parse(Buffer.from(value.bytes.subarray(start, end)).toString('latin1')), depth)
  }
  return Array.isArray(value) && depth > 0 ? value.flatMap(each => flat(each, depth - 1)) : [value]
}
