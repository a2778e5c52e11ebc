import { implement } from '../implement.ts'
import * as kernel from './kernel.ts'
import * as op from './op.ts'
import * as reference from './reference.ts'

export const packedAttention = implement(op, { ...reference, ...kernel })
