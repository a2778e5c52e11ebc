export { recurrentBackward } from './backward.ts'
export { recurrentForward } from './forward.ts'
