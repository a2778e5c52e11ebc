import { implement } from '../implement.ts'
import * as kernel from './kernel.ts'
import * as op from './op.ts'

export const maskRules = implement(op, kernel)
