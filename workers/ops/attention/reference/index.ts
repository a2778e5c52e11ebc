/** The float64 kernels: the definition of attention, as prose and plain TypeScript. */
export { attentionBackward, attentionForward } from './attention.ts'
export { attentionMaps } from './maps.ts'
export { attentionMaskGradient } from './mask-gradient.ts'
