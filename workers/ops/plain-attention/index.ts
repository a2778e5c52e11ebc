import { implement } from '../implement.ts'
import { plainBackward } from './backward.ts'
import { plainForward } from './forward.ts'
import * as op from './op.ts'

export const plainAttention = implement(op, { plainBackward, plainForward })
