import { implement } from '../implement.ts'
import * as kernel from './kernel.ts'
import * as op from './op.ts'

export const readings = implement(op, kernel)
