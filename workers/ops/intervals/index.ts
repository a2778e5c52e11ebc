import { implement } from '../implement.ts'
import * as kernel from './kernel.ts'
import * as op from './op.ts'
import * as segments from './segments.ts'

export const intervals = implement(op, { ...kernel, ...segments })
