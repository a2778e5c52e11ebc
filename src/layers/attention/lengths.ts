/** Lists of whole numbers that say how long sequences are: small control data, read here because shapes and costs depend on them. */

import { decodeBytes, decodeUnits } from '../../../workers/text/decode.ts'
import { latin1 } from '../../../workers/text/json-cursor.ts'
import { isShort } from '../../../workers/text/json-spans.ts'
import { elementPointer, type TensorSource } from '../../formats/tensor.ts'
import { fieldProblem } from '../../problem.ts'
import { expectShape, wrong } from '../geometry.ts'
import { decodeArgs } from '../program-builder.ts'

/** The main thread reads them. */
export const MOST_SEQUENCES = 65536

/** [B] whole numbers in [0, most]; a tensor that is only a shape (`POST /v1/plan`) counts as all full. */
export function readLengths(source: TensorSource, pointer: string, batch: number, most: number) {
  expectShape(pointer, source, [batch])
  if (batch > MOST_SEQUENCES) wrong(pointer, source, `expected at most ${MOST_SEQUENCES} sequences`)
  if (source.form === 'shape') return undefined
  const { values: lengths, fault } = readIntegers(source)
  const bad = fault?.index ?? lengths.findIndex(length => length < 0 || length > most)
  if (fault === undefined && bad < 0) return lengths
  const found = fault?.found ?? String(lengths[bad])
  throw elementProblem(pointer, source, bad, `expected an integer from 0 to ${most}, got ${found}`)
}

/** A 400 about an element, or about all of them where the index is −1. */
export function elementProblem(pointer: string, source: TensorSource, index: number, message: string) {
  const below = index < 0 ? '' : elementPointer(source, index)
  const place = below === '' && index >= 0 ? ` at index ${index}` : ''
  return fieldProblem('INVALID_TENSOR', pointer + below, message + place)
}

/** The elements, and which of them is the first that is no int32. The main thread waits for it. */
export function readIntegers(source: TensorSource): { values: Int32Array; fault?: NoInteger | undefined } {
  const values = new Int32Array(source.count)
  // an empty list may have no text of its own
  if (source.count === 0) return { values }
  const fault =
    source.form === 'nested' || source.form === 'flat' ? read(source, values) : decode(source, values)
  return { values, fault }
}

interface NoInteger {
  index: number
  found: string
}

/** From JSON text that the scan has found to be an array of numbers. */
function read(source: TensorSource, into: Int32Array): NoInteger | undefined {
  const { start, end, count } = source
  if (!isShort(source)) return { index: -1, found: `${end - start} bytes of text for ${count} of them` }
  const nested: unknown[] = JSON.parse(latin1(source.bytes, start, end))
  const values = source.form === 'nested' && source.shape.length > 1 ? nested.flat() : nested
  for (let index = 0; index < values.length; index++) {
    const value = values[index]
    into[index] = value as number
    if (into[index] !== value) return { index, found: String(value) }
  }
  return undefined
}

function decode(source: TensorSource, into: Int32Array): NoInteger | undefined {
  const args = decodeArgs(source, { rejectNonFinite: true, allowNegativeInfinity: false })
  return decodeBytes({ body: source.bytes, into }, args, 0, decodeUnits(args))
}
