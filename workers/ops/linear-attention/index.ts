import { implement } from '../implement.ts'
import * as op from './op.ts'
import * as reference from './reference/index.ts'
import * as sums from './sums.ts'

export const linearAttention = implement(op, { ...reference, ...sums })
