import { implement } from '../implement.ts'
import * as kernel from './kernel.ts'
import * as mistakes from './mistakes.ts'
import * as op from './op.ts'

export const compare = implement(op, { ...kernel, ...mistakes })
