/** The commands, in the order of the usage. A new one is a file beside these and a line in this list. */
export { keys } from './keys.ts'
export { serve } from './serve.ts'
