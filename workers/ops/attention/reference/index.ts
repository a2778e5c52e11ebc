/** The float64 kernels: the definition of attention, as prose and plain TypeScript. */
export { attentionForward } from './attention.ts'
export { attentionBackward } from './backward.ts'
export { attentionDistanceGradient } from './distance-gradient.ts'
export { attentionJvp } from './jvp.ts'
export { attentionMaps } from './maps.ts'
export { attentionMaskGradient } from './mask-gradient.ts'
export { softcapScores } from './softcap-scores.ts'
