import { implement } from '../implement.ts'
import { plainBackward } from './backward.ts'
import { cappedBackward, cappedForward } from './capped-last.ts'
import { castElements, emulatedForward } from './emulate.ts'
import { exactBackward, exactForward } from './exact.ts'
import { plainForward } from './forward.ts'
import * as op from './op.ts'

export const plainAttention = implement(op, {
  cappedBackward,
  cappedForward,
  castElements,
  emulatedForward,
  exactBackward,
  exactForward,
  plainBackward,
  plainForward,
})
