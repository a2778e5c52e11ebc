/** `q_lengths` and `kv_lengths`: small control data, read here because shapes and costs depend on them. */

import { decodeBytes, decodeUnits } from '../../../workers/text/decode.ts'
import { latin1 } from '../../../workers/text/json-cursor.ts'
import { isShort } from '../../../workers/text/json-spans.ts'
import { elementPointer, type TensorSource } from '../../formats/tensor.ts'
import { fieldProblem } from '../../problem.ts'
import { expectShape } from '../geometry.ts'
import { decodeArgs } from '../program-builder.ts'

/** [B] whole numbers in [0, most]; a tensor that is only a shape (`POST /v1/plan`) counts as all full. */
export function readLengths(source: TensorSource, pointer: string, batch: number, most: number) {
  expectShape(pointer, source, [batch])
  if (source.form === 'shape') return undefined
  const lengths = new Int32Array(batch)
  // an empty list may have no text of its own
  if (batch === 0) return lengths
  const wrong =
    source.form === 'nested' || source.form === 'flat' ? read(source, lengths) : decode(source, lengths)
  const bad = wrong?.index ?? lengths.findIndex(length => length < 0 || length > most)
  if (wrong === undefined && bad < 0) return lengths
  const found = wrong?.found ?? String(lengths[bad])
  const below = bad < 0 ? '' : elementPointer(source, bad)
  const place = below === '' && bad >= 0 ? ` at index ${bad}` : ''
  throw fieldProblem(
    'INVALID_TENSOR',
    pointer + below,
    `expected an integer from 0 to ${most}, got ${found}${place}`,
  )
}

interface Wrong {
  index: number
  found: string
}

/** From JSON text that the scan has found to be an array of numbers. */
function read(source: TensorSource, lengths: Int32Array): Wrong | undefined {
  const { start, end, count } = source
  if (!isShort(source)) return { index: -1, found: `${end - start} bytes of text for ${count} of them` }
  const values: unknown[] = JSON.parse(latin1(source.bytes, start, end))
  for (const [index, value] of values.entries()) {
    lengths[index] = value as number
    if (lengths[index] !== value) return { index, found: String(value) }
  }
  return undefined
}

function decode(source: TensorSource, lengths: Int32Array): Wrong | undefined {
  const args = decodeArgs(source, { rejectNonFinite: true, allowNegativeInfinity: false })
  return decodeBytes({ body: source.bytes, into: lengths }, args, 0, decodeUnits(args))
}
