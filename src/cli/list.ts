/** The commands, in the order of the usage. A new one is a file beside these and a line in this list. */
export { conformance } from './conformance.ts'
export { explainMask } from './explain-mask.ts'
export { gradientCheck } from './gradient-check.ts'
export { keys } from './keys.ts'
export { models } from './models.ts'
export { serve } from './serve.ts'
export { verify } from './verify.ts'
