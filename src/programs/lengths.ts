/** `q_lengths` and `kv_lengths`: small control data, read here because shapes and costs depend on them. */

import { decodeTensor, decodeUnits } from '../../workers/elements/decode.ts'
import { fieldProblem } from '../errors.ts'
import { decodeArgs, elementPointer, type TensorSource } from '../tensors/tensor-source.ts'
import { expectShape } from './geometry.ts'

/** [B] whole numbers in [0, most]; a tensor that is only a shape (`POST /v1/plan`) counts as all full. */
export function readLengths(source: TensorSource | undefined, pointer: string, batch: number, most: number) {
  if (source === undefined) return undefined
  expectShape(pointer, source, [batch])
  if (source.form === 'shape') return undefined
  const lengths = new Int32Array(batch)
  const args = decodeArgs(
    { ...source, dtype: 'int64' },
    { rejectNonFinite: true, allowNegativeInfinity: false },
  )
  if (source.form === 'base64' || source.form === 'safetensors') args.dtype = source.dtype
  const fault = decodeTensor({ body: source.bytes, into: lengths }, args, 0, decodeUnits(args))
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
