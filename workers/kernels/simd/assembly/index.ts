/** The module's exports. Of attention: `call` points to a filled-in Call, `place` to room for a Place. */
export { attentionForward, attentionMaps } from './forward'
export { attentionBackward } from './backward'
export { attentionMaskGradient } from './mask-gradient'
export { linearAttentionForward, linearStates } from './linear-attention-forward'
export { linearAttentionBackwardKey, linearAttentionBackwardQuery, linearAttentionDelta } from './linear-attention-backward'
