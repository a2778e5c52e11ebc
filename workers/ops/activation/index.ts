import { implement } from '../implement.ts'
import * as op from './op.ts'
import * as reference from './reference.ts'

export const activation = implement(op, reference)
