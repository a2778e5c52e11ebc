import { implement } from '../implement.ts'
import { plainBackward } from './backward.ts'
import { castElements, emulatedForward } from './emulate.ts'
import { plainForward } from './forward.ts'
import * as op from './op.ts'

export const plainAttention = implement(op, { castElements, emulatedForward, plainBackward, plainForward })
