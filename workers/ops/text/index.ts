import { decodeTensor } from '../../text/decode.ts'
import { canonicaliseNaNs, encodeTensor } from '../../text/encode.ts'
import { implement } from '../implement.ts'
import * as op from './op.ts'

export const text = implement(op, { decodeTensor, encodeTensor, canonicaliseNaNs })
