/** The module's exports: `call` points to a filled-in Call, `place` to room for a Place. */
export { attentionForward } from './forward'
export { attentionMaps } from './maps'
export { attentionBackward } from './backward'
export { attentionMaskGradient } from './mask-gradient'
export { linearForward, linearBackwardInput, linearBackwardWeight } from './linear'
