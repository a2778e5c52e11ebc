/** What means nothing where there are no scores: linear attention and its like have neither weights nor a softmax. */
export const WITHOUT_SCORES = {
  fields: [
    'softcap',
    'mask',
    'segments',
    'window',
    'alibi',
    'relative_bias',
    'sinks',
    'dropout',
    'cu_seqlens_q',
  ],
  returns: [
    'weights',
    'scores',
    'softcapped_scores',
    'masked_scores',
    'max_score',
    'logsumexp',
    'entropy',
    'dropped_weights',
  ],
}
