import { decodeTensor } from '../../text/decode.ts'
import { encodeTensor } from '../../text/encode.ts'
import { implement } from '../implement.ts'
import * as op from './op.ts'

export const text = implement(op, {
  decodeTensor: (t, a, from, to, kernels) => decodeTensor(kernels, t, a, from, to),
  encodeTensor: (t, a, from, to, kernels) => encodeTensor(kernels, t, a, from, to),
})
