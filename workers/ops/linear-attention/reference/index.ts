/** The float64 kernels: the definition of linear attention, as prose and plain TypeScript. */
export { linearAttentionBackwardKey, linearAttentionBackwardQuery } from './backward.ts'
export { linearAttentionForward } from './forward.ts'
export { linearStates } from './states.ts'
