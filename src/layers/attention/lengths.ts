/** `q_lengths` and `kv_lengths`: small control data, read here because shapes and costs depend on them. */

import { decodeBytes, decodeUnits } from '../../../workers/text/decode.ts'
import { CLOSE, COMMA, isDigit, isSpace, latin1, ZERO } from '../../../workers/text/json-cursor.ts'
import { elementPointer, type TensorSource } from '../../formats/tensor.ts'
import { fieldProblem } from '../../problem.ts'
import { expectShape, wrong } from '../geometry.ts'
import { decodeArgs } from '../program-builder.ts'

/** The main thread reads them. */
export const MOST_SEQUENCES = 65536
/** Characters of one of them in JSON, and bytes of all with what stands between them. */
const MOST_CHARACTERS = 16
const MOST_TEXT = 4 << 20

/** [B] whole numbers in [0, most]; a tensor that is only a shape (`POST /v1/plan`) counts as all full. */
export function readLengths(source: TensorSource, pointer: string, batch: number, most: number) {
  expectShape(pointer, source, [batch])
  if (batch > MOST_SEQUENCES) wrong(pointer, source, `expected at most ${MOST_SEQUENCES} sequences`)
  if (source.form === 'shape') return undefined
  const lengths = new Int32Array(batch)
  const fault =
    source.form === 'nested' || source.form === 'flat' ? read(source, lengths) : decode(source, lengths)
  const bad = fault?.index ?? lengths.findIndex(length => length < 0 || length > most)
  if (fault === undefined && bad < 0) return lengths
  const found = fault?.found ?? String(lengths[bad])
  const below = bad < 0 ? '' : elementPointer(source, bad)
  const place = below === '' && bad >= 0 ? ` at index ${bad}` : ''
  throw fieldProblem(
    'INVALID_TENSOR',
    pointer + below,
    `expected an integer from 0 to ${most}, got ${found}${place}`,
  )
}

interface NoLength {
  index: number
  found: string
}

/** From JSON text that the scan has found to be an array of that many numbers. */
function read({ bytes, start, end }: TensorSource, lengths: Int32Array): NoLength | undefined {
  if (end - start > MOST_TEXT) return { index: -1, found: `${end - start} bytes of them` }
  let at = start + 1
  for (let index = 0; index < lengths.length; index++) {
    while (isSpace(bytes[at]) || bytes[at] === COMMA) at++
    const first = at
    let whole = 0
    for (; isDigit(bytes[at]); at++) whole = 10 * whole + (bytes[at] ^ ZERO)
    lengths[index] = whole
    if (endsNumber(bytes[at]) && lengths[index] === whole) continue
    while (!endsNumber(bytes[at])) at++
    const text = latin1(bytes, first, Math.min(at, first + MOST_CHARACTERS))
    lengths[index] = Number(text)
    if (at - first > MOST_CHARACTERS) return { index, found: `${text}…` }
    // NaN and the infinities are words in quotes
    if (lengths[index] !== Number(text)) return { index, found: text.replaceAll('"', '') }
  }
  return undefined
}

function endsNumber(byte: number): boolean {
  return byte === COMMA || byte === CLOSE || isSpace(byte)
}

function decode(source: TensorSource, lengths: Int32Array): NoLength | undefined {
  const args = decodeArgs(source, { rejectNonFinite: true, allowNegativeInfinity: false })
  return decodeBytes({ body: source.bytes, into: lengths }, args, 0, decodeUnits(args))
}
