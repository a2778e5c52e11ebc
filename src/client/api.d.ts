// Written by scripts/client-types.ts from openapi/openapi.json: npm run openapi.
import type { Tensor, TensorLike } from './tensor-like.ts'

export type AttentionRequest = {
  /** [B, H, N, d_k], or [B, N, d_k] or [N, d_k] with one head (and one batch); `layout` and `cu_seqlens_q` say otherwise */
  q: TensorLike
  /** [B, H_kv, M, d_k] in q’s rank; H is a multiple of H_kv */
  k: TensorLike
  /** [B, H_kv, M, d_v] in q’s rank */
  v: TensorLike
  /** For rank 4: the order of the axes of q, k, v, the past, the output and their gradients. `bhnd` is the default; `bnhd` is [B, N, H, d], as flash-attn and JAX have it. Maps stay [B, H, N, M], rows [B, H, N]. */
  layout?: Layout
  /** int32 [B + 1], B ≤ 65536: packed sequences, as flash-attn’s varlen has them. q is [T, H, d_k], and sequence s its positions cu_seqlens_q[s] to cu_seqlens_q[s + 1]; from 0, never falling, to T. k is [S, H_kv, d_k], v [S, H_kv, d_v]. Each sequence attends within itself: causal, window, alibi and rope count positions in it. Output [T, H, d_v], rows [H, T], maps [H, T, S] with weights of 0 and scores of −∞ between sequences. Not beside layout, mask, lengths or a past. */
  cu_seqlens_q?: TensorLike
  /** int32 [B + 1], from 0 to S: the same of the keys; default cu_seqlens_q */
  cu_seqlens_k?: TensorLike
  /** [B, H_kv, P, d_k]: keys before the new ones, already normalised and rotated. Query i then stands at position P + i for `causal`, `window`, `alibi` (top_left) and rope; masks and kv_lengths count all P + M keys; the answer has present_k. */
  past_k?: TensorLike
  /** [B, H_kv, P, d_v]: values before the new ones; the answer has present_v */
  past_v?: TensorLike
  /** What the keys and values of earlier requests have left, as `"return":["state"]` gives it: `s` for `gated`, `delta`, `gated_delta` and `linear` with `feature` `relu` or `identity`; `sums`, `k` and `v` for `linear` with `elu1`, whose state has no gradient and does not stand beside lengths. Tokens in several requests, each with the state that the one before it has answered, give the same bits as in one. rope’s offsets are the request’s own to say. Not beside a past. */
  state?: State
  /** factor of q·k; default 1/√d_k */
  scale?: number
  /** c > 0: s → c·tanh(s/c) */
  softcap?: number
  /** bool: true = may attend. Float: added to the scores, −∞ masks. Broadcasts right-aligned to the shape of `weights`. Caution: JSON numbers 0/1 without a dtype are a *float* mask that adds 0 or 1; write true/false, or give `"dtype":"bool"`. */
  mask?: TensorLike
  /** `true` = `"top_left"`: j ≤ i. `"bottom_right"`: j ≤ i + m − n, with m, n that batch’s kv_lengths, q_lengths where given, else M, N. */
  causal?: Causal
  /** [B], B ≤ 65536, beside `causal`: keys before it are open to every row (prefix LM); with a past, of all P + M keys */
  prefix_lengths?: TensorLike
  /** [B], B ≤ 65536: query rows from there on are padding */
  q_lengths?: TensorLike
  /** [B], B ≤ 65536: keys from there on are padding */
  kv_lengths?: TensorLike
  window?: Window
  /** A row attends only to keys of the same id; one with a negative id attends to nothing and is attended by nobody. Without a batch also [N] and [M]. No time is spent on other segments where each is one run and they come in the same order in q and kv. Not beside past_k. */
  segments?: Segments
  /** `true`: the slopes of the ALiBi paper; or one slope a head [H]. Adds −slope·|i − j|, i aligned as `causal` says. */
  alibi?: Alibi
  /** T5’s relative position bias: adds table[bucket(j − i), h] to the scores, i aligned as `causal` says. The gradient is `grads.relative_bias.table`, in `wrt` `relative_bias.table`. */
  relative_bias?: RelativeBias
  /** [H]: one more logit a query head in the softmax’s denominator, as gpt-oss has it: never scaled, capped, biased, masked or dropped, and without a value. `logsumexp` and `entropy` hold it; `weights` sum to less than 1. A row without a key: output 0, logsumexp = the sink. */
  sinks?: TensorLike
  /** Normalise every row of q and k first: `"l2"` is x / max(‖x‖, 1e-12), `rms` is x / √(mean(x²) + eps). In a stack whose parameters have gains (q_norm.gamma), `rms` says their norm’s eps. */
  qk_norm?: QkNorm
  /** Rotary position embedding of q and k, after qk_norm. q and k are placed apart: what is said of the one says nothing of the other. */
  rope?: Rope
  /** What a row is that may attend to no key. `zeros`: output, weights, entropy and gradients are 0. `nan`: they are NaN, and so are all gradients of the keys and values that the row might have attended to, as in a softmax over −∞ alone. `uniform`: the weights are 1/M each, masked keys included, as where a large finite number stands for −∞: the output is the mean of all values, each value gets its share of the gradient, and nothing else does. `logsumexp` and `max_score` stay −∞. Rows from `q_lengths` on are padding and stay zeros; with `sinks` no row is empty. With attention_kind softmax, local or block. */
  empty_rows?: EmptyRows
  /** Read the ambiguous fields as that library does: the order of axes, the corner that `"causal":true` means, what `true` is in a mask, `window` as it writes one, `empty_rows`, and the shape of `weights`. What a request says itself goes first (`layout`, `"causal":"top_left"`, `window.align`, `empty_rows`). The answer’s `conventions` spell what was read; docs/DIALECTS.md has the table. */
  dialect?: Dialect
  /** Dropout on the weights; the kept ones are scaled by 1/(1−p). The same seed drops the same weights, forward and backward. */
  dropout?: Dropout
  /** What stands in for the softmax over all keys; a name alone takes the defaults. i is aligned as `causal` says, and causal, lengths and window hold as ever. `linear`: φ(x) = elu(x) + 1 in place of the exponential, in O(N) (Katharopoulos et al. 2020); with `feature` `relu` or `identity` neither normalised nor unscaled, as ONNX has it: scale·φ(q)ᵀΣφ(k)vᵀ. `lsh`: keys that random rotations hash into the query’s bucket, and that are in its own or a neighbouring chunk of the keys sorted by bucket (Reformer, Kitaev et al. 2020); q and k are hashed apart. `local`: |i − j| ≤ window. `strided`: |i − j| < stride, or i − j a multiple of stride (Child et al. 2019). `block`: ⌊i/size⌋ = ⌊j/size⌋, with `previous` the block before too. These are the exact softmax over those keys; a row without any is zeros. `gated`, `delta` and `gated_delta` are the recurrences of ONNX’s LinearAttention (opset 27) with `gates`: S = e^decay ⊙ S, then S = S + k·(β(v − Sᵀk))ᵀ (gated: S + k·vᵀ), o = scale·Sᵀq; causal by nature: `causal` may be left out, `false` is a 400, and there are as many keys as queries. Padding changes no state. `linear` and those take no softcap, mask, segments, window, alibi, relative_bias, sinks, dropout (in a stack, dropout of hidden units alone), entropy_weight, grad_weights, grad_logsumexp or maps, elu1 no scale, those with gates no prefix_lengths and no past: `state` is theirs; `lsh` and `strided` take no mask, segments, alibi, relative_bias, grad_weights or dropped_weights. The answer says `approximation`. */
  attention_kind?: AttentionKind
  /** with an approximation and without dropout: also compute exact attention, and answer `exact_error` of the heads’ outputs (in a stack, of each layer’s for its own input) */
  compare_exact?: boolean
  /** what to answer beside loss and gradients */
  return?: (AttentionRequestReturn)[]
  /** the loss: the sum of what is given of it here, of which one suffices */
  backward?: AttentionRequestBackward
  /** Forward mode: tangents of the inputs, of which one suffices; those left out are 0, as those of the past and of relative_bias.table are. The answer has `jvp.output`, `jvp.weights` (before dropout, whose drops stay) and `jvp.logsumexp`, those of `return`: their derivatives in that direction. With attention_kind softmax, local or block. */
  jvp?: Jvp
  /** The numbers that hardware with such types gives: each stage is rounded to nearest even where it is stored, and what lies between is float64. float8 saturates (e4m3: 448, e5m2: 57344), the other types overflow to infinity. Softmax attention alone, forward. */
  emulate?: Emulate
  /** `float32`: SIMD kernels; `float64`: the reference kernels */
  precision?: Precision
  /** `reject`: a NaN or infinity in any input is a 400 that names its place (−∞ in a float mask is no fault) */
  non_finite?: NonFiniteInputs
  /** how tensors are written in a JSON answer */
  encoding?: Encoding
  /** element type of the tensors in the answer; default: the precision */
  output_dtype?: OutputDtype
}

export type Window = WindowFields | WindowItem

export type RopeScaling = {
  /** default `"default"` */
  rope_type?: RopeType
  /** the older name of rope_type */
  type?: RopeType
  /** instead of `base` */
  rope_theta?: number
  /** which share of a head is rotated, instead of `dims`; proportional: which share of its pairs turns, by frequencies as if all did */
  partial_rotary_factor?: number
  /** dynamic: beyond this length the base grows; else what the lengths below default to */
  max_position_embeddings?: number
  /** linear, dynamic, llama3: needed. yarn, longrope: default max_position_embeddings over the original. proportional: default 1 */
  factor?: number
  /** yarn, longrope, llama3: default max_position_embeddings */
  original_max_position_embeddings?: number
  /** yarn, longrope: cos and sin times it. Default: 0.1·ln(factor) + 1 for yarn, √(1 + ln(factor)/ln(original)) for longrope, 1 where factor ≤ 1 */
  attention_factor?: number
  /** yarn: pairs that turn more often than this keep their frequency; default 32 */
  beta_fast?: number
  /** yarn: pairs that turn less often than this are interpolated; default 1 */
  beta_slow?: number
  /** yarn: beside mscale_all_dim, neither being 0, attention_factor is by default (0.1·mscale·ln(factor) + 1)/(0.1·mscale_all_dim·ln(factor) + 1) */
  mscale?: number
  mscale_all_dim?: number
  /** yarn: whether the ends of the ramp are whole pairs; default true */
  truncate?: boolean
  /** longrope: [dims/2], divides the frequencies up to the original length */
  short_factor?: TensorLike
  /** longrope: [dims/2], divides the frequencies beyond the original length */
  long_factor?: TensorLike
  /** llama3: wavelengths beyond original/low_freq_factor are interpolated */
  low_freq_factor?: number
  /** llama3: wavelengths below original/high_freq_factor are kept; greater than low_freq_factor */
  high_freq_factor?: number
}

export type LinearAttention = {
  kind: "linear"
  /** φ of queries and keys. `elu1`: elu(x) + 1, each row divided by Σφ(q)·φ(k). `relu`, `identity`: o = scale·φ(q)ᵀΣφ(k)vᵀ, as ONNX’s LinearAttention has it */
  feature?: Feature
}

export type LshAttention = {
  kind: "lsh"
  /** independent hashes; a pair found by several counts once */
  rounds?: number
  /** buckets a round, 1 or even; default: the power of two at or above M/chunk, at least 2 */
  buckets?: number
  /** sorted keys a chunk */
  chunk?: number
  /** of the random rotations */
  seed?: number
}

export type LocalAttention = {
  kind: "local"
  window?: number
}

export type StridedAttention = {
  kind: "strided"
  stride?: number
}

export type BlockAttention = {
  kind: "block"
  size?: number
  /** the block before it as well */
  previous?: boolean
}

export type GatedAttention = {
  kind: GatedAttentionKind
  /** needed: decay; in a stack they are the same for all layers */
  gates?: Gates
}

export type DeltaAttention = {
  kind: "delta"
  /** needed: beta; in a stack they are the same for all layers */
  gates?: Gates
}

export type GatedDeltaAttention = {
  kind: "gated_delta"
  /** needed: decay and beta; in a stack they are the same for all layers */
  gates?: Gates
}

export type SelfAttentionRequest = {
  /** [B, N, d_model], or [N, d_model] without a batch */
  x: TensorLike
  /** the parameters, or `init` instead */
  params?: SelfAttentionRequestParams
  /** Draw the parameters instead: the same seed gives the same parameters on every machine. Biases and beta are 0, gamma is 1. `"return":["params"]` hands them back. */
  init?: Init
  /** beside init; default d_model */
  d_k?: number
  /** beside init; default d_k */
  d_v?: number
  /** [B, H_kv, P, d_k]: keys before the new ones, already normalised and rotated. Query i then stands at position P + i for `causal`, `window`, `alibi` (top_left) and rope; masks and kv_lengths count all P + M keys; the answer has present_k. */
  past_k?: TensorLike
  /** [B, H_kv, P, d_v]: values before the new ones; the answer has present_v */
  past_v?: TensorLike
  /** What the keys and values of earlier requests have left, as `"return":["state"]` gives it: `s` for `gated`, `delta`, `gated_delta` and `linear` with `feature` `relu` or `identity`; `sums`, `k` and `v` for `linear` with `elu1`, whose state has no gradient and does not stand beside lengths. Tokens in several requests, each with the state that the one before it has answered, give the same bits as in one. rope’s offsets are the request’s own to say. Not beside a past. */
  state?: State
  /** factor of q·k; default 1/√d_k */
  scale?: number
  /** c > 0: s → c·tanh(s/c) */
  softcap?: number
  /** bool: true = may attend. Float: added to the scores, −∞ masks. Broadcasts right-aligned to the shape of `weights`. Caution: JSON numbers 0/1 without a dtype are a *float* mask that adds 0 or 1; write true/false, or give `"dtype":"bool"`. */
  mask?: TensorLike
  /** `true` = `"top_left"`: j ≤ i. `"bottom_right"`: j ≤ i + m − n, with m, n that batch’s kv_lengths, q_lengths where given, else M, N. */
  causal?: Causal
  /** [B], B ≤ 65536, beside `causal`: keys before it are open to every row (prefix LM); with a past, of all P + M keys */
  prefix_lengths?: TensorLike
  /** [B], B ≤ 65536: query rows from there on are padding */
  q_lengths?: TensorLike
  /** [B], B ≤ 65536: keys from there on are padding */
  kv_lengths?: TensorLike
  window?: Window
  /** A row attends only to keys of the same id; one with a negative id attends to nothing and is attended by nobody. Without a batch also [N] and [M]. No time is spent on other segments where each is one run and they come in the same order in q and kv. Not beside past_k. */
  segments?: Segments
  /** `true`: the slopes of the ALiBi paper; or one slope a head [H]. Adds −slope·|i − j|, i aligned as `causal` says. */
  alibi?: Alibi
  /** T5’s relative position bias: adds table[bucket(j − i), h] to the scores, i aligned as `causal` says. The gradient is `grads.relative_bias.table`, in `wrt` `relative_bias.table`. */
  relative_bias?: RelativeBias
  /** [H]: one more logit a query head in the softmax’s denominator, as gpt-oss has it: never scaled, capped, biased, masked or dropped, and without a value. `logsumexp` and `entropy` hold it; `weights` sum to less than 1. A row without a key: output 0, logsumexp = the sink. */
  sinks?: TensorLike
  /** Normalise every row of q and k first: `"l2"` is x / max(‖x‖, 1e-12), `rms` is x / √(mean(x²) + eps). In a stack whose parameters have gains (q_norm.gamma), `rms` says their norm’s eps. */
  qk_norm?: QkNorm
  /** Rotary position embedding of q and k, after qk_norm. q and k are placed apart: what is said of the one says nothing of the other. */
  rope?: Rope
  /** What a row is that may attend to no key. `zeros`: output, weights, entropy and gradients are 0. `nan`: they are NaN, and so are all gradients of the keys and values that the row might have attended to, as in a softmax over −∞ alone. `uniform`: the weights are 1/M each, masked keys included, as where a large finite number stands for −∞: the output is the mean of all values, each value gets its share of the gradient, and nothing else does. `logsumexp` and `max_score` stay −∞. Rows from `q_lengths` on are padding and stay zeros; with `sinks` no row is empty. With attention_kind softmax, local or block. */
  empty_rows?: EmptyRows
  /** Read the ambiguous fields as that library does: the order of axes, the corner that `"causal":true` means, what `true` is in a mask, `window` as it writes one, `empty_rows`, and the shape of `weights`. What a request says itself goes first (`layout`, `"causal":"top_left"`, `window.align`, `empty_rows`). The answer’s `conventions` spell what was read; docs/DIALECTS.md has the table. */
  dialect?: Dialect
  /** Dropout on the weights; the kept ones are scaled by 1/(1−p). The same seed drops the same weights, forward and backward. */
  dropout?: Dropout
  /** What stands in for the softmax over all keys; a name alone takes the defaults. i is aligned as `causal` says, and causal, lengths and window hold as ever. `linear`: φ(x) = elu(x) + 1 in place of the exponential, in O(N) (Katharopoulos et al. 2020); with `feature` `relu` or `identity` neither normalised nor unscaled, as ONNX has it: scale·φ(q)ᵀΣφ(k)vᵀ. `lsh`: keys that random rotations hash into the query’s bucket, and that are in its own or a neighbouring chunk of the keys sorted by bucket (Reformer, Kitaev et al. 2020); q and k are hashed apart. `local`: |i − j| ≤ window. `strided`: |i − j| < stride, or i − j a multiple of stride (Child et al. 2019). `block`: ⌊i/size⌋ = ⌊j/size⌋, with `previous` the block before too. These are the exact softmax over those keys; a row without any is zeros. `gated`, `delta` and `gated_delta` are the recurrences of ONNX’s LinearAttention (opset 27) with `gates`: S = e^decay ⊙ S, then S = S + k·(β(v − Sᵀk))ᵀ (gated: S + k·vᵀ), o = scale·Sᵀq; causal by nature: `causal` may be left out, `false` is a 400, and there are as many keys as queries. Padding changes no state. `linear` and those take no softcap, mask, segments, window, alibi, relative_bias, sinks, dropout (in a stack, dropout of hidden units alone), entropy_weight, grad_weights, grad_logsumexp or maps, elu1 no scale, those with gates no prefix_lengths and no past: `state` is theirs; `lsh` and `strided` take no mask, segments, alibi, relative_bias, grad_weights or dropped_weights. The answer says `approximation`. */
  attention_kind?: AttentionKind
  /** with an approximation and without dropout: also compute exact attention, and answer `exact_error` of the heads’ outputs (in a stack, of each layer’s for its own input) */
  compare_exact?: boolean
  /** what to answer beside loss and gradients */
  return?: (SelfAttentionRequestReturn)[]
  /** the loss: the sum of what is given of it here, of which one suffices */
  backward?: SelfAttentionRequestBackward
  /** `float32`: SIMD kernels; `float64`: the reference kernels */
  precision?: Precision
  /** `reject`: a NaN or infinity in any input is a 400 that names its place (−∞ in a float mask is no fault) */
  non_finite?: NonFiniteInputs
  /** how tensors are written in a JSON answer */
  encoding?: Encoding
  /** element type of the tensors in the answer; default: the precision */
  output_dtype?: OutputDtype
}

export type MultiHeadAttentionRequest = {
  /** [B, N, d_model], or [N, d_model] without a batch */
  x: TensorLike
  /** [B, M, d_context]: where keys and values come from (cross-attention); default x */
  context?: TensorLike
  heads: number
  /** heads of keys and values (GQA); divides heads; default heads */
  kv_heads?: number
  /** the parameters, or `init` instead */
  params?: MultiHeadAttentionRequestParams
  /** Draw the parameters instead: the same seed gives the same parameters on every machine. Biases and beta are 0, gamma is 1. `"return":["params"]` hands them back. */
  init?: Init
  /** a head’s, beside init; default d_model/heads */
  d_k?: number
  /** a head’s, beside init; default d_k */
  d_v?: number
  /** beside init; default d_model */
  d_out?: number
  /** [B, H_kv, P, d_k]: keys before the new ones, already normalised and rotated. Query i then stands at position P + i for `causal`, `window`, `alibi` (top_left) and rope; masks and kv_lengths count all P + M keys; the answer has present_k. */
  past_k?: TensorLike
  /** [B, H_kv, P, d_v]: values before the new ones; the answer has present_v */
  past_v?: TensorLike
  /** What the keys and values of earlier requests have left, as `"return":["state"]` gives it: `s` for `gated`, `delta`, `gated_delta` and `linear` with `feature` `relu` or `identity`; `sums`, `k` and `v` for `linear` with `elu1`, whose state has no gradient and does not stand beside lengths. Tokens in several requests, each with the state that the one before it has answered, give the same bits as in one. rope’s offsets are the request’s own to say. Not beside a past. */
  state?: State
  /** factor of q·k; default 1/√d_k */
  scale?: number
  /** c > 0: s → c·tanh(s/c) */
  softcap?: number
  /** bool: true = may attend. Float: added to the scores, −∞ masks. Broadcasts right-aligned to the shape of `weights`. Caution: JSON numbers 0/1 without a dtype are a *float* mask that adds 0 or 1; write true/false, or give `"dtype":"bool"`. */
  mask?: TensorLike
  /** `true` = `"top_left"`: j ≤ i. `"bottom_right"`: j ≤ i + m − n, with m, n that batch’s kv_lengths, q_lengths where given, else M, N. */
  causal?: Causal
  /** [B], B ≤ 65536, beside `causal`: keys before it are open to every row (prefix LM); with a past, of all P + M keys */
  prefix_lengths?: TensorLike
  /** [B], B ≤ 65536: query rows from there on are padding */
  q_lengths?: TensorLike
  /** [B], B ≤ 65536: keys from there on are padding */
  kv_lengths?: TensorLike
  window?: Window
  /** A row attends only to keys of the same id; one with a negative id attends to nothing and is attended by nobody. Without a batch also [N] and [M]. No time is spent on other segments where each is one run and they come in the same order in q and kv. Not beside past_k. */
  segments?: Segments
  /** `true`: the slopes of the ALiBi paper; or one slope a head [H]. Adds −slope·|i − j|, i aligned as `causal` says. */
  alibi?: Alibi
  /** T5’s relative position bias: adds table[bucket(j − i), h] to the scores, i aligned as `causal` says. The gradient is `grads.relative_bias.table`, in `wrt` `relative_bias.table`. */
  relative_bias?: RelativeBias
  /** [H]: one more logit a query head in the softmax’s denominator, as gpt-oss has it: never scaled, capped, biased, masked or dropped, and without a value. `logsumexp` and `entropy` hold it; `weights` sum to less than 1. A row without a key: output 0, logsumexp = the sink. */
  sinks?: TensorLike
  /** Normalise every row of q and k first: `"l2"` is x / max(‖x‖, 1e-12), `rms` is x / √(mean(x²) + eps). In a stack whose parameters have gains (q_norm.gamma), `rms` says their norm’s eps. */
  qk_norm?: QkNorm
  /** Rotary position embedding of q and k, after qk_norm. q and k are placed apart: what is said of the one says nothing of the other. */
  rope?: Rope
  /** What a row is that may attend to no key. `zeros`: output, weights, entropy and gradients are 0. `nan`: they are NaN, and so are all gradients of the keys and values that the row might have attended to, as in a softmax over −∞ alone. `uniform`: the weights are 1/M each, masked keys included, as where a large finite number stands for −∞: the output is the mean of all values, each value gets its share of the gradient, and nothing else does. `logsumexp` and `max_score` stay −∞. Rows from `q_lengths` on are padding and stay zeros; with `sinks` no row is empty. With attention_kind softmax, local or block. */
  empty_rows?: EmptyRows
  /** Read the ambiguous fields as that library does: the order of axes, the corner that `"causal":true` means, what `true` is in a mask, `window` as it writes one, `empty_rows`, and the shape of `weights`. What a request says itself goes first (`layout`, `"causal":"top_left"`, `window.align`, `empty_rows`). The answer’s `conventions` spell what was read; docs/DIALECTS.md has the table. */
  dialect?: Dialect
  /** Dropout on the weights; the kept ones are scaled by 1/(1−p). The same seed drops the same weights, forward and backward. */
  dropout?: Dropout
  /** What stands in for the softmax over all keys; a name alone takes the defaults. i is aligned as `causal` says, and causal, lengths and window hold as ever. `linear`: φ(x) = elu(x) + 1 in place of the exponential, in O(N) (Katharopoulos et al. 2020); with `feature` `relu` or `identity` neither normalised nor unscaled, as ONNX has it: scale·φ(q)ᵀΣφ(k)vᵀ. `lsh`: keys that random rotations hash into the query’s bucket, and that are in its own or a neighbouring chunk of the keys sorted by bucket (Reformer, Kitaev et al. 2020); q and k are hashed apart. `local`: |i − j| ≤ window. `strided`: |i − j| < stride, or i − j a multiple of stride (Child et al. 2019). `block`: ⌊i/size⌋ = ⌊j/size⌋, with `previous` the block before too. These are the exact softmax over those keys; a row without any is zeros. `gated`, `delta` and `gated_delta` are the recurrences of ONNX’s LinearAttention (opset 27) with `gates`: S = e^decay ⊙ S, then S = S + k·(β(v − Sᵀk))ᵀ (gated: S + k·vᵀ), o = scale·Sᵀq; causal by nature: `causal` may be left out, `false` is a 400, and there are as many keys as queries. Padding changes no state. `linear` and those take no softcap, mask, segments, window, alibi, relative_bias, sinks, dropout (in a stack, dropout of hidden units alone), entropy_weight, grad_weights, grad_logsumexp or maps, elu1 no scale, those with gates no prefix_lengths and no past: `state` is theirs; `lsh` and `strided` take no mask, segments, alibi, relative_bias, grad_weights or dropped_weights. The answer says `approximation`. */
  attention_kind?: AttentionKind
  /** with an approximation and without dropout: also compute exact attention, and answer `exact_error` of the heads’ outputs (in a stack, of each layer’s for its own input) */
  compare_exact?: boolean
  /** what to answer beside loss and gradients */
  return?: (SelfAttentionRequestReturn)[]
  /** the loss: the sum of what is given of it here, of which one suffices */
  backward?: MultiHeadAttentionRequestBackward
  /** `float32`: SIMD kernels; `float64`: the reference kernels */
  precision?: Precision
  /** `reject`: a NaN or infinity in any input is a 400 that names its place (−∞ in a float mask is no fault) */
  non_finite?: NonFiniteInputs
  /** how tensors are written in a JSON answer */
  encoding?: Encoding
  /** element type of the tensors in the answer; default: the precision */
  output_dtype?: OutputDtype
}

export type PositionalEncodingRequest = SinusoidalEncoding | RopeEncoding | AlibiEncoding

export type SinusoidalEncoding = {
  kind: "sinusoidal"
  /** positions; default: those of x */
  length?: number
  /** default: the last extent of x */
  d_model?: number
  base?: number
  /** the first position */
  offset?: number
  /** […, N, d_model]: `output` = x + encoding */
  x?: TensorLike
  /** with x: the gradient that reaches it */
  backward?: SinusoidalEncodingBackward
  /** `float32`: SIMD kernels; `float64`: the reference kernels */
  precision?: Precision
  /** `reject`: a NaN or infinity in any input is a 400 that names its place (−∞ in a float mask is no fault) */
  non_finite?: NonFiniteInputs
  /** how tensors are written in a JSON answer */
  encoding?: Encoding
  /** element type of the tensors in the answer; default: the precision */
  output_dtype?: OutputDtype
}

export type RopeEncoding = {
  kind: "rope"
  /** positions; default: those of x */
  length?: number
  /** a head’s; default: the last extent of x */
  d_model?: number
  /** how many leading elements are rotated; even; default d_model */
  dims?: number
  /** pairs (x_2j, x_2j+1) rather than (x_j, x_j+dims/2) */
  interleaved?: boolean
  /** pair j turns by base^(−2j/dims) a position; default 10000 */
  base?: number
  /** [dims/2], instead of `base`: by how much each pair turns a position, in radians */
  frequencies?: TensorLike
  /** cos and sin times it; default 1. Beside `scaling` it multiplies what that gives */
  factor?: number
  scaling?: RopeScaling
  /** the first position; default 0 */
  offset?: number
  /** int32 [length], or [B, length] where B is the first extent of x [B, …, N, d_model]; instead of `offset`. Negative ones turn backwards */
  positions?: TensorLike
  /** […, N, d_model]: `output` = x, every row rotated */
  x?: TensorLike
  /** with x: the gradient that reaches it */
  backward?: SinusoidalEncodingBackward
  /** `float32`: SIMD kernels; `float64`: the reference kernels */
  precision?: Precision
  /** `reject`: a NaN or infinity in any input is a 400 that names its place (−∞ in a float mask is no fault) */
  non_finite?: NonFiniteInputs
  /** how tensors are written in a JSON answer */
  encoding?: Encoding
  /** element type of the tensors in the answer; default: the precision */
  output_dtype?: OutputDtype
}

export type AlibiEncoding = {
  kind: "alibi"
  /** positions; default: those of x */
  length?: number
  /** default: those of x */
  heads?: number
  /** scores […, heads, N, M]: `output` = x + bias */
  x?: TensorLike
  /** with x: the gradient that reaches it */
  backward?: SinusoidalEncodingBackward
  /** `float32`: SIMD kernels; `float64`: the reference kernels */
  precision?: Precision
  /** `reject`: a NaN or infinity in any input is a 400 that names its place (−∞ in a float mask is no fault) */
  non_finite?: NonFiniteInputs
  /** how tensors are written in a JSON answer */
  encoding?: Encoding
  /** element type of the tensors in the answer; default: the precision */
  output_dtype?: OutputDtype
}

export type TransformerRequest = {
  stack: Stack
  /** [B, N, d_model], or [N, d_model] without a batch */
  x: TensorLike
  /** factor of q·k; default 1/√d_k */
  scale?: number
  /** c > 0: s → c·tanh(s/c) */
  softcap?: number
  /** bool: true = may attend. Float: added to the scores, −∞ masks. Broadcasts right-aligned to the shape of `weights`. Caution: JSON numbers 0/1 without a dtype are a *float* mask that adds 0 or 1; write true/false, or give `"dtype":"bool"`. */
  mask?: TensorLike
  /** [B], B ≤ 65536, beside `causal`: keys before it are open to every row (prefix LM); with a past, of all P + M keys */
  prefix_lengths?: TensorLike
  /** [B], B ≤ 65536: query rows from there on are padding */
  q_lengths?: TensorLike
  /** [B], B ≤ 65536: keys from there on are padding */
  kv_lengths?: TensorLike
  window?: Window
  /** A row attends only to keys of the same id; one with a negative id attends to nothing and is attended by nobody. Without a batch also [N] and [M]. No time is spent on other segments where each is one run and they come in the same order in q and kv. Not beside past_k. */
  segments?: Segments
  /** T5’s relative position bias: adds table[bucket(j − i), h] to the scores, i aligned as `causal` says. The gradient is `grads.relative_bias.table`, in `wrt` `relative_bias.table`. */
  relative_bias?: RelativeBias
  /** Normalise every row of q and k first: `"l2"` is x / max(‖x‖, 1e-12), `rms` is x / √(mean(x²) + eps). In a stack whose parameters have gains (q_norm.gamma), `rms` says their norm’s eps. */
  qk_norm?: QkNorm
  /** What a row is that may attend to no key. `zeros`: output, weights, entropy and gradients are 0. `nan`: they are NaN, and so are all gradients of the keys and values that the row might have attended to, as in a softmax over −∞ alone. `uniform`: the weights are 1/M each, masked keys included, as where a large finite number stands for −∞: the output is the mean of all values, each value gets its share of the gradient, and nothing else does. `logsumexp` and `max_score` stay −∞. Rows from `q_lengths` on are padding and stay zeros; with `sinks` no row is empty. With attention_kind softmax, local or block. */
  empty_rows?: EmptyRows
  /** Read the ambiguous fields as that library does: the order of axes, the corner that `"causal":true` means, what `true` is in a mask, `window` as it writes one, `empty_rows`, and the shape of `weights`. What a request says itself goes first (`layout`, `"causal":"top_left"`, `window.align`, `empty_rows`). The answer’s `conventions` spell what was read; docs/DIALECTS.md has the table. */
  dialect?: Dialect
  /** What stands in for the softmax over all keys; a name alone takes the defaults. i is aligned as `causal` says, and causal, lengths and window hold as ever. `linear`: φ(x) = elu(x) + 1 in place of the exponential, in O(N) (Katharopoulos et al. 2020); with `feature` `relu` or `identity` neither normalised nor unscaled, as ONNX has it: scale·φ(q)ᵀΣφ(k)vᵀ. `lsh`: keys that random rotations hash into the query’s bucket, and that are in its own or a neighbouring chunk of the keys sorted by bucket (Reformer, Kitaev et al. 2020); q and k are hashed apart. `local`: |i − j| ≤ window. `strided`: |i − j| < stride, or i − j a multiple of stride (Child et al. 2019). `block`: ⌊i/size⌋ = ⌊j/size⌋, with `previous` the block before too. These are the exact softmax over those keys; a row without any is zeros. `gated`, `delta` and `gated_delta` are the recurrences of ONNX’s LinearAttention (opset 27) with `gates`: S = e^decay ⊙ S, then S = S + k·(β(v − Sᵀk))ᵀ (gated: S + k·vᵀ), o = scale·Sᵀq; causal by nature: `causal` may be left out, `false` is a 400, and there are as many keys as queries. Padding changes no state. `linear` and those take no softcap, mask, segments, window, alibi, relative_bias, sinks, dropout (in a stack, dropout of hidden units alone), entropy_weight, grad_weights, grad_logsumexp or maps, elu1 no scale, those with gates no prefix_lengths and no past: `state` is theirs; `lsh` and `strided` take no mask, segments, alibi, relative_bias, grad_weights or dropped_weights. The answer says `approximation`. */
  attention_kind?: AttentionKind
  /** with an approximation and without dropout: also compute exact attention, and answer `exact_error` of the heads’ outputs (in a stack, of each layer’s for its own input) */
  compare_exact?: boolean
  /** [B, M, d_context], or [M, d_context] without a batch: every layer also attends to it (a decoder, as PyTorch’s TransformerDecoderLayer). Its parameters are layers.i.cross_attention.{w_q,…}, its norm is norm2, and that of the feed-forward network norm3 (sandwich: norm3 and norm4, then norm5 and norm6). scale, softcap, qk_norm and dropout hold there too; rope, causal, window, alibi, the mask and attention_kind do not. */
  context?: TensorLike
  /** A stack whose output is the context of the other (as PyTorch’s Transformer); in place of `context`. dropout, qk_norm and checkpoint hold for both, and its layers draw with the seeds behind the decoder’s (seed + 3·layers + 2i and seed + 3·layers + 2i + 1); everything else beside `stack` is the decoder’s. `entropy_weight` means the rows of both. */
  encoder?: Encoder
  /** What the keys and values of the positions before x have left in every layer, as `"return":["state"]` gives it: layers.i.s [B, H_kv, head_dim, head_dim], and position [1], how many there were; for `gated`, `delta`, `gated_delta` and causal `linear` (of `elu1` layers.i.sums, layers.i.k and layers.i.v, as in `state` of attention). Positions go on from there, and the bits are those of one request. In safetensors state.layers.0.s. */
  state?: Record<string, TensorLike> | null
  /** Keys and values of the positions before x, of every layer: layers.i.k and layers.i.v [B, H_kv, P, head_dim], as `"return":["present"]` gives them. For causal stacks; positions go on from P, and masks and kv_lengths count all P + N keys. In safetensors past.layers.0.k. */
  past?: Record<string, TensorLike> | null
  /** [B]: positions of the context from there on are padding */
  context_lengths?: TensorLike
  /** Dropout on the attention weights and on the hidden units of the feed-forward network. Layer i draws with the seeds seed + 2i and seed + 2i + 1; with a context seed + 3i, seed + 3i + 1 (cross-attention) and seed + 3i + 2. */
  dropout?: Dropout
  /** keep only the input of each layer and compute it again in the backward pass: less memory, more time, the same bits */
  checkpoint?: boolean
  /** what to answer beside loss and gradients; maps and rows stand in `layers`, one object a layer. `present`: keys and values of every layer, as the next request takes them for its `past`; `state`: what they have left, as it takes it for its `state` */
  return?: (TransformerRequestReturn)[]
  /** the loss: the sum of what is given of it here, of which one suffices */
  backward?: TransformerRequestBackward
  /** `float32`: SIMD kernels; `float64`: the reference kernels */
  precision?: Precision
  /** `reject`: a NaN or infinity in any input is a 400 that names its place (−∞ in a float mask is no fault) */
  non_finite?: NonFiniteInputs
  /** how tensors are written in a JSON answer */
  encoding?: Encoding
  /** element type of the tensors in the answer; default: the precision */
  output_dtype?: OutputDtype
}

export type Stack = {
  layers: number
  /** default: the last extent of x */
  d_model?: number
  heads: number
  /** elements of a head’s q, k and v; default d_model/heads, or what params say */
  head_dim?: number
  /** heads of keys and values (GQA); divides heads; default heads */
  kv_heads?: number
  /** hidden units of the feed-forward network; default 4·d_model, or what params say */
  d_ff?: number
  /** `post`: x = norm1(x + attention(x)); `pre`: x = x + attention(norm1(x)); the same around the FFN with norm2. `sandwich`: x = x + norm2(attention(norm1(x))); x = x + norm4(ffn(norm3(x))) */
  norm?: Norm
  /** `rms` has gamma only */
  norm_kind?: NormKind
  norm_eps?: number
  /** `swiglu`: w_2(silu(x·w_gate) ⊙ (x·w_1)); `geglu` and `geglu_tanh`: gelu or gelu_tanh in place of silu. `quick_gelu`: x·σ(1.702·x) */
  activation?: Activation
  /** `sinusoidal` is added to x; `rope` turns q and k in every layer; `alibi` is a bias on the scores; default `rope` where there is a rope, else `none` */
  position?: Position
  /** turns q and k in every layer, or in those where the list has one; `"position":"rope"` alone takes its defaults */
  rope?: StackRope
  /** keys that a row attends to, in every layer or by layer; see `window` beside the stack */
  window?: StackWindow
  /** factor of q·k; default 1/√d_k */
  scale?: number
  /** c > 0: s → c·tanh(s/c) */
  softcap?: number
  /** T5’s relative position bias in every layer; its table [buckets, H] is the parameter `relative_bias.table`, with `init` of 32 buckets. That parameter alone takes the defaults. */
  relative_bias?: StackRelativeBias
  causal?: Causal
  /** A flat dictionary: layers.i.attention.{w_q,w_k,w_v,w_o,b_q,b_k,b_v,b_o}, layers.i.attention.{q_norm,k_norm}.gamma (of an RMS norm of queries and keys, before rope), layers.i.attention.sinks [heads] (see `sinks` of attention), layers.i.norm1.{gamma,beta}, layers.i.ffn.{w_1,b_1,w_2,b_2} (swiglu, geglu, geglu_tanh: w_gate too), layers.i.norm2.{gamma,beta} (sandwich: norm3 and norm4 too), with a context layers.i.cross_attention as attention, final_norm.{gamma,beta}, relative_bias.table. Biases, beta, q_norm and k_norm together, sinks and final_norm may be left out. Weights are [d_in, d_out]. */
  params?: Record<string, TensorLike> | null
  /** Draw the parameters instead: the same seed gives the same parameters on every machine. Biases and beta are 0, gamma is 1. `"return":["params"]` hands them back. */
  init?: Init
}

export type CompareRequest = {
  endpoint: CompareRequestEndpoint
  /** the body of that endpoint. Its `precision` is not looked at; `return` need not name what the candidate holds */
  body: Record<string, unknown>
  /** what was computed elsewhere of that body: tensors under the names that the endpoint’s answer has, `output`, `logsumexp`, …, `grads.q`. NaN and infinities are findings */
  candidate: Record<string, unknown>
  /** the type that the candidate was computed in: that of the baseline */
  candidate_dtype?: CandidateDtype
  /** `baseline`: a tensor passes where max|candidate − truth| ≤ factor · max|baseline − truth| + eps · max|truth|, eps that of candidate_dtype. `tolerance`: where |candidate − truth| ≤ atol + rtol · |truth| for every element. Default: baseline, factor 2. */
  rule?: Rule
  /** where it fails: try the usual mistakes, and name those that explain it */
  diagnose?: boolean
  /** elements that `worst` lists */
  top?: number
  /** gives heads an `error_map`; the page of `Accept: text/html` has them in any case */
  error_maps?: boolean
}

export type GradientCheckRequest = {
  endpoint: CompareRequestEndpoint
  /** the body of that endpoint, with `backward`, which defines the loss and, by `wrt`, the inputs. Its `precision` is not looked at: all is float64 */
  body: Record<string, unknown>
  /** elements that are drawn of each input; all of one that has no more */
  entries?: number
  /** directions that are drawn for each input: ±1/√n in each of its n elements */
  directions?: number
  /** the same seed draws the same */
  seed?: number
}

export type ExplainMaskRequest = {
  /** whose body it is */
  endpoint?: ExplainMaskRequestEndpoint
  /** the body of that endpoint. A tensor may be just {"shape": […]}: of q, k and v no more is looked at. Of lengths, segments and a mask that are only shapes nothing is known; they are named in `unknown` and count as forbidding nothing */
  body: Record<string, unknown>
  /** [b, h, i]: a query row of which every key is told which rules removed it */
  row?: (number)[] | null
  /** answer the rules of every pair, as bits */
  map?: boolean
  /** how tensors are written in a JSON answer */
  encoding?: Encoding
}

export type PlanRequest = {
  endpoint: PlanRequestEndpoint
  /** the body of that endpoint; a tensor may be just {"shape": […]} */
  body: Record<string, unknown>
}

export type ModelForwardRequest = {
  /** a text, or a list of texts; shorter ones are padded on the right */
  text?: Text
  /** the second text of each pair */
  text_pair?: Text
  /** [B, N], or [N]: instead of text */
  token_ids?: TensorLike
  /** [B, N] beside token_ids: 0 where there is padding */
  attention_mask?: TensorLike
  /** [B, N] beside token_ids, of models that have types; default 0 */
  token_type_ids?: TensorLike
  add_special_tokens?: boolean
  /** cut texts to max_length, rather than refuse them */
  truncate?: boolean
  /** the layers that `layers` holds, in this order; default all, and [] none */
  layers?: LayerList
  /** the heads that maps and rows hold, in this order; default all */
  heads?: IndexList
  /** what to answer. `tokens` comes always. `hidden`: the embeddings and every layer’s output, the last one behind the final norm. `embedding`: a vector of the text, see `pooling`. `next_tokens`: the most probable ones behind the last position that is no padding */
  return?: (ModelForwardRequestReturn)[] | null
  /** of `embedding`, which has length 1: over what is no padding */
  pooling?: Pooling
  /** asks for next_tokens too */
  next_tokens?: NextTokens
  /** asks for top_keys too: the strongest keys of each row, in `layers` */
  top_keys?: TopKeys
  /** asks for relevance too: [B, N], a number a token */
  relevance?: Relevance
  /** asks a decoder for tokens that follow each text, up to the end token of the model */
  generate?: Generate
  backward?: ModelForwardRequestBackward
  /** with backward: gradients of each layer’s output or weights, in `layers` */
  emit?: (Emit)[] | null
  /** `float32`: SIMD kernels; `float64`: the reference kernels */
  precision?: Precision
  /** how tensors are written in a JSON answer */
  encoding?: Encoding
  /** element type of the tensors in the answer; default: the precision */
  output_dtype?: OutputDtype
}

export type InferenceRequest = {
  /** comes back in the answer */
  id?: string
  /** the options of the endpoint of the same name, as strings, numbers and booleans: `causal`, `scale`, `precision`, `output_dtype`, …; nested ones as the JSON text of an object in `request`. `binary_data_output`: answer bytes where an output does not say. `timeout`: microseconds. Ignored: `priority`, `headers`, `sequence_…`, `triton_…` */
  parameters?: Record<string, unknown> | null
  inputs: (InferenceInput)[]
  /** what to answer, in this order; default `output` alone */
  outputs?: (InferenceRequestedOutput)[] | null
}

export type InferenceInput = {
  /** as in safetensors: `q`, `mask`, `backward.grad_output`, `params.w_q`, … */
  name: string
  /** BYTES of texts */
  datatype: Datatype
  shape: (number)[]
  /** the elements in row-major order, flat or nested as the shape says; what is not finite as "NaN", "Infinity", "-Infinity", or the same without quotes */
  data?: (unknown)[] | null
  parameters?: InferenceInputParameters
}

export type InferenceInputParameters = {
  /** bytes of its elements (little-endian, row-major) behind the JSON text, instead of `data` */
  binary_data_size?: number
}

export type InferenceRequestedOutput = {
  name: string
  parameters?: InferenceRequestedOutputParameters
}

export type InferenceRequestedOutputParameters = {
  /** its elements as bytes behind the JSON text */
  binary_data?: boolean
}

export type RepositoryIndexRequest = {
  /** only those that are */
  ready?: boolean
}

export type JobRequest = {
  endpoint: PlanRequestEndpoint
  /** the body of that endpoint */
  body: Record<string, unknown>
  /** jobs of a smaller number go first, those of one number in the order in which they came */
  priority?: number
}

export type AttentionAnswer = {
  /** [B, H, N, d_v] in q’s rank and layout; zeros where a row attends to nothing */
  output?: Tensor
  /** [B, H, N, M]: softmax, before dropout; with sinks a row sums to less than 1 */
  weights?: Tensor
  /** [B, H, N, M]: q·kᵀ·scale for every pair */
  scores?: Tensor
  /** [B, H, N, M]: what the softmax sees; "-Infinity" where masked */
  masked_scores?: Tensor
  /** [B, H, N]; "-Infinity" where a row attends to nothing, unless there are sinks */
  logsumexp?: Tensor
  /** [B, H, N]: −Σ p ln p in nats, before dropout */
  entropy?: Tensor
  /** [B, H, N, M]: weights after dropout */
  dropped_weights?: Tensor
  /** [B, H, N, M]: the scores after the softcap, before biases and masks, for every pair */
  softcapped_scores?: Tensor
  /** [B, H]: the largest masked score of a head, a sink left out (what QK-clip looks at); "-Infinity" where nothing attends */
  max_score?: Tensor
  /** [B, H_kv, P + M, d_k]: past_k and the new keys, normalised and rotated */
  present_k?: Tensor
  /** [B, H_kv, P + M, d_v]: past_v and the new values */
  present_v?: Tensor
  /** what the next request takes for its `state` */
  state?: AttentionAnswerState
  /** the attention_kind, where it is not softmax: the output is not that of exact attention */
  approximation?: Approximation
  /** with compare_exact: the heads’ outputs beside those of exact attention, padding left out */
  exact_error?: ExactError
  /** with a `dialect`: what was read, field by field */
  conventions?: Record<string, unknown>
  /** with a target: the squared error; with entropy_weight: plus (or only) that term */
  loss?: AnyNumber
  /** tangents of the results of the same names, in their shapes */
  jvp?: AttentionAnswerJvp
  /** of each stage of `emulate` by itself, the others exact: how far the output is from float64’s */
  error_budget?: ErrorBudget
  /** the gradient of input X at grads.X */
  grads?: AttentionAnswerGrads
}

export type SelfAttentionAnswer = {
  /** [B, N, d_v] in x’s rank */
  output?: Tensor
  /** [B, H, N, M]: softmax, before dropout; with sinks a row sums to less than 1 */
  weights?: Tensor
  /** [B, H, N, M]: q·kᵀ·scale for every pair */
  scores?: Tensor
  /** [B, H, N, M]: what the softmax sees; "-Infinity" where masked */
  masked_scores?: Tensor
  /** [B, H, N]; "-Infinity" where a row attends to nothing, unless there are sinks */
  logsumexp?: Tensor
  /** [B, H, N]: −Σ p ln p in nats, before dropout */
  entropy?: Tensor
  /** [B, H, N, M]: weights after dropout */
  dropped_weights?: Tensor
  /** [B, H, N, M]: the scores after the softcap, before biases and masks, for every pair */
  softcapped_scores?: Tensor
  /** [B, H]: the largest masked score of a head, a sink left out (what QK-clip looks at); "-Infinity" where nothing attends */
  max_score?: Tensor
  /** [B, H_kv, P + M, d_k]: past_k and the new keys, normalised and rotated */
  present_k?: Tensor
  /** [B, H_kv, P + M, d_v]: past_v and the new values */
  present_v?: Tensor
  /** what the next request takes for its `state` */
  state?: AttentionAnswerState
  /** the attention_kind, where it is not softmax: the output is not that of exact attention */
  approximation?: Approximation
  /** with compare_exact: the heads’ outputs beside those of exact attention, padding left out */
  exact_error?: ExactError
  /** with a `dialect`: what was read, field by field */
  conventions?: Record<string, unknown>
  /** every parameter by its name, with "return":["params"] */
  params?: Record<string, Tensor>
  /** with a target: the squared error; with entropy_weight: plus (or only) that term */
  loss?: AnyNumber
  /** the gradient of input X at grads.X */
  grads?: SelfAttentionAnswerGrads
}

export type MultiHeadAttentionAnswer = {
  /** [B, N, d_out] in x’s rank */
  output?: Tensor
  /** [B, H, N, M]: softmax, before dropout; with sinks a row sums to less than 1 */
  weights?: Tensor
  /** [B, H, N, M]: q·kᵀ·scale for every pair */
  scores?: Tensor
  /** [B, H, N, M]: what the softmax sees; "-Infinity" where masked */
  masked_scores?: Tensor
  /** [B, H, N]; "-Infinity" where a row attends to nothing, unless there are sinks */
  logsumexp?: Tensor
  /** [B, H, N]: −Σ p ln p in nats, before dropout */
  entropy?: Tensor
  /** [B, H, N, M]: weights after dropout */
  dropped_weights?: Tensor
  /** [B, H, N, M]: the scores after the softcap, before biases and masks, for every pair */
  softcapped_scores?: Tensor
  /** [B, H]: the largest masked score of a head, a sink left out (what QK-clip looks at); "-Infinity" where nothing attends */
  max_score?: Tensor
  /** [B, H_kv, P + M, d_k]: past_k and the new keys, normalised and rotated */
  present_k?: Tensor
  /** [B, H_kv, P + M, d_v]: past_v and the new values */
  present_v?: Tensor
  /** what the next request takes for its `state` */
  state?: AttentionAnswerState
  /** the attention_kind, where it is not softmax: the output is not that of exact attention */
  approximation?: Approximation
  /** with compare_exact: the heads’ outputs beside those of exact attention, padding left out */
  exact_error?: ExactError
  /** with a `dialect`: what was read, field by field */
  conventions?: Record<string, unknown>
  /** every parameter by its name, with "return":["params"] */
  params?: Record<string, Tensor>
  /** with a target: the squared error; with entropy_weight: plus (or only) that term */
  loss?: AnyNumber
  /** the gradient of input X at grads.X */
  grads?: MultiHeadAttentionAnswerGrads
}

export type PositionalEncodingAnswer = {
  /** sinusoidal: [length, d_model] */
  encoding?: Tensor
  /** rope: [length, dims/2], or [B, length, dims/2] as the positions are */
  cos?: Tensor
  /** rope: in the shape of cos */
  sin?: Tensor
  /** alibi: [heads] */
  slopes?: Tensor
  /** alibi: [heads, length, length] = −slope·|i − j| */
  bias?: Tensor
  /** with x: in its shape */
  output?: Tensor
  /** with a target: the squared error; with entropy_weight: plus (or only) that term */
  loss?: AnyNumber
  /** the gradient of input X at grads.X */
  grads?: PositionalEncodingAnswerGrads
}

export type TransformerAnswer = {
  /** [B, N, d_model] in x’s rank */
  output?: Tensor
  /** what `return` names of each layer’s attention */
  layers?: (TransformerAnswerLayer)[]
  /** the same of the encoder, where there is one */
  encoder?: TransformerAnswerEncoder
  /** the attention_kind, where it is not softmax: the output is not that of exact attention */
  approximation?: Approximation
  /** with a `dialect`: what was read, field by field */
  conventions?: Record<string, unknown>
  /** layers.i.k and layers.i.v [B, H_kv, P + N, head_dim]: the past and the new ones, normalised and rotated */
  present?: Record<string, Tensor>
  /** layers.i.s [B, H_kv, head_dim, head_dim], and position [1] (float64) */
  state?: Record<string, Tensor>
  /** every parameter by its name, with "return":["params"] */
  params?: Record<string, Tensor>
  /** with a target: the squared error; with entropy_weight: plus (or only) that term */
  loss?: AnyNumber
  /** the gradient of input X at grads.X */
  grads?: TransformerAnswerGrads
}

export type CompareAnswer = {
  verdict: Verdict
  /** what was compared, as the request says */
  endpoint: string
  candidate_dtype: string
  /** by which it was judged */
  rule: CompareAnswerRule
  /** by the names of the candidate’s tensors: `output`, `grads.q` */
  tensors: Record<string, TensorComparison>
  /** of the scores of the baseline, where the endpoint attends */
  conditioning?: Conditioning
  /** where it fails: the usual mistakes that explain the candidate within the rule, best first */
  diagnosis?: (Diagnosis)[]
  /** the mistakes that there was no time to try, in their own words; absent where all were tried */
  not_tried?: (string)[]
}

export type TensorComparison = {
  verdict: Verdict
  /** max |candidate − truth|, NaN and infinities of the candidate left out */
  max_abs: AnyNumber
  /** max |candidate − truth| / |truth|, truths of 0 left out */
  max_rel: AnyNumber
  /** max |candidate − truth| in units of candidate_dtype at the truth */
  max_ulp: AnyNumber
  rmse: AnyNumber
  /** null where one of the two is all zeros */
  cosine: number | null
  /** max |baseline − truth| */
  baseline_max_abs: AnyNumber
  /** max_abs / baseline_max_abs; null where the baseline is exact or max_abs is infinite */
  ratio: number | null
  /** what an element may be off; with a tolerance, the one with the largest |truth| */
  allowed: AnyNumber
  /** NaN in the candidate where the truth has none */
  nan: number
  /** infinities in the candidate where the truth has another number */
  inf: number
  /** elements that are further off than allowed */
  mismatched: number
  worst: (Worst)[]
  /** every head of every batch element; of more than 1024 the worst */
  heads: (TensorComparisonHead)[]
  /** [b, h, i] in the tensor’s own axes */
  first_bad_row: (number)[] | null
}

export type GradientCheckAnswer = {
  verdict: Verdict
  /** that `backward` defines: with grad_output its inner product with the output, … */
  loss: AnyNumber
  /** by the names of `wrt`: `q`, `mask`, `params.w_q`, `params.layers.0.attention.w_q` */
  inputs: Record<string, InputCheck>
}

export type InputCheck = {
  verdict: Verdict
  /** the largest `error`; null where there is none */
  worst: InputCheckWorst
  /** checks that say nothing */
  kinks: number
  /** of the drawn elements */
  checks: (Check)[]
  /** of slopes along the drawn directions, each of length 1 */
  directions: (Direction)[]
}

export type ExplainMaskAnswer = {
  /** attended pairs over all pairs; 0 of none */
  density: number
  /** attended pairs of [B, H, N, M] (packed: [H, T, S]) */
  pairs: number
  /** [b, h, i] of rows that attend to nothing, the first 65536 of them */
  empty_rows: ((number)[])[]
  empty_row_count: number
  /** by the field of the request that sets it */
  rules: Record<string, ExplainMaskAnswerRule>
  /** fields whose tensors came as shapes alone */
  unknown?: (string)[]
  /** for each key the rules that removed it; none of an attended one */
  row?: ((string)[])[]
  /** by dialect: the call that means the same */
  equivalents: Record<string, Equivalent>
  /** with a `dialect`: what was read, field by field */
  conventions?: Record<string, unknown>
  /** uint8 [B, H, N, M] in q’s rank: a bit for each rule that forbids the pair */
  map?: Tensor
  /** the bit of each rule in `map` */
  legend?: Record<string, number>
}

export type PlanAnswer = {
  /** shape of every tensor of the answer, by name */
  shapes: Record<string, (number)[]>
  /** floating-point operations, a multiply-add being two; masked blocks are not counted. Where a model generates, an upper bound, as bytes and seconds: of all max_new_tokens, wherever the texts end */
  flops: number
  /** tensor memory, with work areas and the room to write the answer */
  bytes: number
  /** estimated time on this server at the speed measured so far, when it is idle */
  seconds: number
  /** with a `dialect`: what was read, field by field */
  conventions?: Record<string, unknown>
  /** whether the request would be admitted now */
  admitted: boolean
  /** why it would not be */
  problem?: PlanAnswerProblem
  /** how POST /v1/jobs would cut what is too large for one request, and what a part would take */
  cut?: Cut
}

export type ModelForwardAnswer = {
  /** always there */
  tokens: Tokens
  /** [B, N, d_model] */
  output?: Tensor
  /** the chosen ones in the order asked */
  layers?: (ModelForwardAnswerLayer)[]
  /** the chosen ones, as maps and rows hold them */
  heads?: (number)[]
  /** layers + 1 of [B, N, d_model] */
  hidden?: (Tensor)[]
  /** [B, d_model], of length 1 */
  embedding?: Tensor
  /** [B, N, vocabulary] */
  logits?: Tensor
  next_tokens?: ModelForwardAnswerNextTokens
  /** [B, N] */
  relevance?: Tensor
  /** of each item the new tokens, with the end token where there was one */
  generated?: Generated
  /** with backward: the scalar of each item, where it has one */
  values?: (number)[]
  present?: Record<string, Tensor>
  encoder?: ModelForwardAnswerEncoder
  /** parameters by the checkpoint’s names, in its orientation */
  grads?: ModelForwardAnswerGrads
}

export type ModelsAnswer = {
  models: (Model)[]
}

export type ModelAnswer = {
  name: string
  family: string
  layers: number
  heads: number
  kv_heads: number
  d_model: number
  head_dim: number
  vocabulary: number
  parameters: number
  /** of most weights in the files */
  dtype: Dtype
  /** of memory, once it is loaded */
  bytes: number
  loaded: boolean
  /** bytes, while it is being loaded */
  loading?: Loading
  tokenizer: boolean
  /** most tokens; null where nothing bounds them */
  max_length: number | null
}

export type InferenceServerMetadataAnswer = {
  name: string
  version: string
  extensions: (string)[]
}

export type InferenceServerHealthAnswer = {
  live: boolean
  ready: boolean
}

export type InferenceModelListAnswer = {
  models: (string)[]
}

export type InferenceStatisticsAnswer = {
  model_stats: (ModelStatisticsAnswer)[]
}

export type ModelStatisticsAnswer = {
  name: string
  version: string
  /** milliseconds since 1970 */
  last_inference: number
  /** items of batches */
  inference_count: number
  /** requests */
  execution_count: number
  inference_stats: InferenceStagesAnswer
  response_stats: Record<string, unknown>
  batch_stats: (BatchStatisticsAnswer)[]
  memory_usage: (unknown)[]
}

export type InferenceStagesAnswer = {
  success: StatisticDurationAnswer
  fail: StatisticDurationAnswer
  queue: StatisticDurationAnswer
  compute_input: StatisticDurationAnswer
  compute_infer: StatisticDurationAnswer
  compute_output: StatisticDurationAnswer
  cache_hit: StatisticDurationAnswer
  cache_miss: StatisticDurationAnswer
}

export type StatisticDurationAnswer = {
  count: number
  ns: number
}

export type BatchStatisticsAnswer = {
  batch_size: number
  compute_input: StatisticDurationAnswer
  compute_infer: StatisticDurationAnswer
  compute_output: StatisticDurationAnswer
}

export type InferenceAnswer = {
  model_name: string
  model_version: string
  id?: string
  /** `loss` and other single numbers of the answer */
  parameters?: Record<string, unknown>
  outputs: (InferenceOutputAnswer)[]
}

export type InferenceOutputAnswer = {
  name: string
  datatype: string
  shape: (number)[]
  /** in row-major order, flat; what is not finite as "NaN", "Infinity", "-Infinity" */
  data?: (unknown)[]
  /** `binary_data_size` where its bytes follow the JSON text */
  parameters?: Record<string, unknown>
}

export type InferenceModelMetadataAnswer = {
  name: string
  versions: (string)[]
  platform: string
  /** those that every request has; −1 is any extent */
  inputs: (InferenceTensorMetadataAnswer)[]
  /** those that are answered where none is asked for */
  outputs: (InferenceTensorMetadataAnswer)[]
  properties: Record<string, string>
}

export type InferenceTensorMetadataAnswer = {
  name: string
  datatype: string
  shape: (number)[]
}

export type InferenceModelHealthAnswer = {
  name: string
  ready: boolean
}

export type InferenceModelConfigurationAnswer = {
  name: string
  platform: string
  backend: string
  version_policy: Record<string, unknown>
  /** 0: the batch is an axis of the tensors */
  max_batch_size: number
  input: (InferenceTensorConfigurationAnswer)[]
  output: (InferenceTensorConfigurationAnswer)[]
  /** the metadata’s `properties`, each as `string_value` */
  parameters: Record<string, unknown>
}

export type InferenceTensorConfigurationAnswer = {
  name: string
  /** `TYPE_FP32`, …; `TYPE_STRING` of texts */
  data_type: string
  dims: (number)[]
  optional?: boolean
}

export type RepositoryIndexAnswer = (RepositoryModelAnswer)[]

export type RepositoryModelAnswer = {
  name: string
  version: string
  state: string
  reason: string
}

export type TicketAnswer = {
  /** opens one stream, once: /v1/stream?ticket=… */
  ticket: string
  /** seconds */
  expires_in: number
}

export type Problem = {
  type: string
  title: string
  status: number
  detail: string
  code: string
  request_id: string
  errors?: (ProblemError)[]
  /** of the job that has no result */
  state?: string
  /** of the same */
  progress?: Progress
  /** of the two bodies under one Idempotency-Key */
  digests?: Digests
}

export type InferenceProblem = {
  error: string
  type: string
  title: string
  status: number
  detail: string
  code: string
  request_id: string
  errors?: (InferenceProblemError)[]
}

export type JobAnswer = {
  id: string
  endpoint: string
  /** `expired`: it was done, and its result is no longer kept */
  state: JobAnswerState
  /** steps of its computation, or its parts where it is cut; a `total` of 0 is not known yet */
  progress: Progress
  priority: number
  /** into how many parts it is cut, being too large for one request */
  parts?: number
  created: string
  started?: string
  finished?: string
  /** until when its result is kept */
  expires?: string
  /** where its result is: `/v1/jobs/{id}/result`, below the prefix of a proxy that sends one */
  result?: string
  /** what ended it, where it has failed */
  problem?: Problem
}

export type HealthAnswer = {
  status: HealthAnswerStatus
  kernels?: HealthAnswerKernels
  threads?: number
  jobs?: number
  /** of jobs, with REDIS_URL; without it the server still answers requests */
  queue?: Queue
  backlog_seconds?: number
  memory?: HealthAnswerMemory
}

export type NonFinite = "NaN" | "Infinity" | "-Infinity"

export type Text = string | (string)[]

export type IndexList = (number)[]

export type LayerList = (number)[]

export type Shape = (number)[]

export type Accumulate = "float32" | "float16"

export type Activation = "relu" | "gelu" | "gelu_tanh" | "silu" | "quick_gelu" | "swiglu" | "geglu" | "geglu_tanh"

export type Alibi = boolean | TensorLike

export type Alignment = "top_left" | "bottom_right"

export type AnyNumber = number | NonFinite

export type Approximation = "linear" | "lsh" | "local" | "strided" | "block" | "gated" | "delta" | "gated_delta"

export type AttentionAnswerGrads = {
  /** q’s */
  q?: Tensor
  /** k’s */
  k?: Tensor
  /** v’s */
  v?: Tensor
  /** in the mask’s own shape */
  mask?: Tensor
  /** [H] */
  sinks?: Tensor
  /** of the table that stands there */
  relative_bias?: AttentionAnswerGradsRelativeBias
  /** when `wrt` names it */
  past_k?: Tensor
  /** when `wrt` names it */
  past_v?: Tensor
  /** in the gates’ own shapes; in a stack the sum over the layers */
  attention_kind?: AttentionAnswerGradsAttentionKind
  /** when `wrt` names it */
  state?: AttentionAnswerGradsState
}

export type AttentionAnswerGradsAttentionKind = {
  gates?: AttentionAnswerGradsAttentionKindGates
}

export type AttentionAnswerGradsAttentionKindGates = {
  decay?: Tensor
  beta?: Tensor
}

export type AttentionAnswerGradsRelativeBias = {
  table?: Tensor
}

export type AttentionAnswerGradsState = {
  s?: Tensor
}

export type AttentionAnswerJvp = {
  output?: Tensor
  weights?: Tensor
  logsumexp?: Tensor
}

export type AttentionAnswerState = {
  /** [B, H_kv, d_k, d_v] */
  s?: Tensor
  /** of elu1: [B, H_kv, d_k·(d_v + 2)], float64 */
  sums?: Tensor
  /** of elu1: [B, H_kv, R, d_k] */
  k?: Tensor
  /** of elu1: [B, H_kv, R, d_v] */
  v?: Tensor
}

export type AttentionKind = AttentionKindName | AttentionKindOptions

export type AttentionKindName = "softmax" | "linear" | "lsh" | "local" | "strided" | "block" | "gated" | "delta" | "gated_delta" | "gated_linear"

export type AttentionKindOptions = LinearAttention | LshAttention | LocalAttention | StridedAttention | BlockAttention | GatedAttention | DeltaAttention | GatedDeltaAttention

export type AttentionRequestBackward = {
  /** ∂L/∂output, shaped like the output */
  grad_output?: TensorLike
  /** target of a squared-error loss, shaped like the output */
  target?: TensorLike
  /** with `target`: Σ(output − target)² (default) or its mean over the elements that are no padding */
  loss?: Loss
  /** λ: adds λ × the mean entropy of the rows that attend to something */
  entropy_weight?: number
  /** ∂L/∂weights, before dropout, shaped like `weights`; where nothing is attended it is not looked at */
  grad_weights?: TensorLike
  /** ∂L/∂logsumexp, shaped like `logsumexp` */
  grad_logsumexp?: TensorLike
  /** inputs whose gradients are wanted; default q, k, v, a float mask, sinks, relative_bias.table and gates */
  wrt?: (AttentionRequestBackwardWrt)[] | null
}

export type AttentionRequestBackwardWrt = "q" | "k" | "v" | "mask" | "sinks" | "relative_bias.table" | "past_k" | "past_v" | "attention_kind" | "attention_kind.gates" | "attention_kind.gates.decay" | "attention_kind.gates.beta" | "state" | "state.s"

export type AttentionRequestReturn = "output" | "weights" | "scores" | "masked_scores" | "logsumexp" | "entropy" | "dropped_weights" | "softcapped_scores" | "max_score" | "present_k" | "present_v" | "state" | "error_budget"

export type BaselineCompareAnswerRule = {
  kind: "baseline"
  factor: number
}

export type BaselineRule = {
  kind: "baseline"
  factor?: number
}

export type CandidateDtype = "float32" | "float16" | "bfloat16" | "float8_e4m3"

export type Causal = boolean | Alignment

export type Check = {
  index: (number)[]
  /** what the endpoint answers */
  analytic: AnyNumber
  /** what differences of the loss give; null where the input cannot be moved */
  numeric: InputCheckWorst
  /** |analytic − numeric| relative to the largest gradient of the input; null where there is a kink */
  error: InputCheckWorst
  /** why a difference says nothing here (max, relu, −∞); such a check has no part in `worst` and `verdict` */
  kink?: string
}

export type CompareAnswerRule = BaselineCompareAnswerRule | ToleranceCompareAnswerRule

export type CompareRequestEndpoint = "/v1/attention" | "/v1/self-attention" | "/v1/multi-head-attention" | "/v1/positional-encoding" | "/v1/transformer"

export type Conditioning = {
  /** max |score| that softmax sees */
  largest_score: AnyNumber
  /** the largest distance between two scores of a row */
  spread: AnyNumber
  rows: number
  /** rows whose two largest scores candidate_dtype can hardly tell apart */
  rows_near_ties: number
}

export type Cut = {
  /** how many */
  parts: number
  /** items of the batch in the largest of them */
  batch: number
  /** query heads in it, where those may be cut (attention) */
  heads?: number
  flops: number
  bytes: number
  seconds: number
}

export type Datatype = "FP64" | "FP32" | "FP16" | "BF16" | "BOOL" | "INT32" | "INT64" | "BYTES"

export type Diagnosis = {
  says: string
  /** a JSON merge patch (RFC 7396) of `body` with which the same call passes; null where no request says it */
  change: Record<string, unknown> | null
  /** the share of mismatched elements that it mends */
  explains: number
}

export type Dialect = "torch-sdpa" | "torch-mha" | "flash-attn" | "onnx-23" | "onnx-24" | "onnx-25" | "jax" | "transformers"

export type Digests = {
  first: string
  got: string
}

export type Direction = {
  /** what the endpoint answers */
  analytic: AnyNumber
  /** what differences of the loss give; null where the input cannot be moved */
  numeric: InputCheckWorst
  /** |analytic − numeric| relative to the largest gradient of the input; null where there is a kink */
  error: InputCheckWorst
  /** why a difference says nothing here (max, relu, −∞); such a check has no part in `worst` and `verdict` */
  kink?: string
}

export type Dropout = {
  p: number
  seed?: number
}

export type Dtype = "float32" | "float16" | "bfloat16"

export type EmbeddingOf = {
  kind: "embedding"
  /** [d_model] or [B, d_model]: the scalar is embedding · target */
  target: TensorLike
}

export type Emit = "grad_output" | "grad_weights" | "grad_cross_weights"

export type EmptyRows = "zeros" | "nan" | "uniform"

export type Emulate = {
  /** q, k and v as the products read them: behind qk-norm and RoPE, the past too */
  inputs?: Inputs
  /** scale·q·k, what softcap makes of it, and each sum with a mask or bias */
  scores?: Inputs
  /** the normalised weights, and what dropout makes of them */
  weights?: Inputs
  /** partial sums of both products, from the first term to the last */
  accumulate?: Accumulate
  output?: Inputs
}

export type Encoder = {
  stack: Stack
  /** [B, M, d], or [M, d] without a batch */
  x: TensorLike
  /** [B]: positions from there on are padding, in the encoder and in the context that it makes */
  q_lengths?: TensorLike
}

export type Encoding = "nested" | "flat" | "base64"

export type Equivalent = EquivalentFields | EquivalentEquivalentFields

export type EquivalentEquivalentFields = {
  /** why that library cannot say it */
  cannot: string
}

export type EquivalentFields = {
  /** lines before it */
  setup?: (string)[]
  /** in Python, over tensors under their names in the body */
  call: string
  /** what that library makes of a row that attends to nothing */
  empty_rows: EmptyRows
}

export type ErrorBudget = {
  inputs: ErrorBudgetInputs
  scores: ErrorBudgetInputs
  weights: ErrorBudgetInputs
  accumulate: ErrorBudgetInputs
  output: ErrorBudgetInputs
}

export type ErrorBudgetInputs = {
  max_abs: ErrorNumber
  rmse: ErrorNumber
}

export type ErrorNumber = number | NotANumberOrInfinity

export type ExactError = {
  /** largest difference */
  max_abs: ErrorNumber
  /** root of the mean square difference */
  rms: ErrorNumber
  /** norm of the difference over the norm of the exact output */
  relative: ErrorNumber
}

export type ExplainMaskAnswerRule = {
  /** pairs that it forbids, alone or with others */
  forbids: number
  /** pairs that no other rule forbids */
  alone: number
  /** pairs that another forbids too */
  with_others: number
}

export type ExplainMaskRequestEndpoint = "/v1/attention" | "/v1/self-attention" | "/v1/multi-head-attention"

export type Feature = "elu1" | "relu" | "identity"

export type GatedAttentionKind = "gated" | "gated_linear"

export type Gates = {
  /** [B, N, H_kv·d_k], or [B, N, H_kv] for all of a head’s dimensions: logarithm of the factor that the state is multiplied with before a key, along d_k (ONNX’s shapes, heads last; without B where the request has no batch) */
  decay?: TensorLike
  /** [B, N, H_kv], or [B, N, 1] for all heads: the rate β with which a key’s value is written */
  beta?: TensorLike
}

export type Generate = {
  /** a text that ends before takes less than a plan says, which counts all of them */
  max_new_tokens?: number
  /** 0: the most probable token each time */
  temperature?: number
  /** drawn from these many most probable ones; default all */
  top_k?: number
  /** the same seed draws the same tokens */
  seed?: number
}

export type Generated = {
  ids: ((number)[])[]
  strings?: ((string)[])[]
}

export type HeadMetric = {
  index: number
  /** real ones that attend to something; the others are means over them */
  rows: number
  /** nats */
  entropy: number
  mean_distance: number
  previous_token: number
  first_token: number
  self: number
  special_token: number
  /** on tokens that follow an earlier copy of the current one */
  induction: number
}

export type HealthAnswerKernels = {
  /** the float32 kernels in use */
  variant: string
  /** what the choice at start-up was made from; one variant only where KERNELS forces it */
  measurements: (Measurement)[]
}

export type HealthAnswerMemory = {
  used_bytes: number
  committed_bytes: number
  limit_bytes: number
}

export type HealthAnswerStatus = "ok" | "draining" | "unavailable"

export type InferenceProblemError = {
  path: string
  message: string
}

export type Init = {
  /** Glorot & Bengio 2010, or He et al. 2015; fans are those of the whole matrix */
  scheme?: Scheme
  seed?: number
  /** whether there are biases (of 0) */
  bias?: boolean
}

export type InputCheckWorst = AnyNumber | null

export type Inputs = "float32" | "float16" | "bfloat16" | "float8_e4m3" | "float8_e5m2"

export type JobAnswerState = "queued" | "running" | "done" | "failed" | "cancelled" | "expired"

export type Jvp = {
  /** in q’s shape */
  q?: TensorLike
  /** in k’s shape */
  k?: TensorLike
  /** in v’s shape */
  v?: TensorLike
  /** in the shape of the float mask; not looked at where that is −∞ */
  mask?: TensorLike
  /** [H] */
  sinks?: TensorLike
}

export type L2QkNorm = {
  kind: "l2"
  eps?: number
}

export type Layout = "bhnd" | "bnhd"

export type Loading = {
  done: number
  total: number
}

export type LogProbabilityOf = {
  kind: "log_probability"
  /** whose logits; −1 is the last that is no padding */
  position?: number
  /** a token of the vocabulary, as `tokens.strings` has it, or its id */
  token: Token
}

export type LogitOf = {
  kind: "logit"
  /** whose logits; −1 is the last that is no padding */
  position?: number
  /** a token of the vocabulary, as `tokens.strings` has it, or its id */
  token: Token
}

export type Loss = "sum_squared_error" | "mean_squared_error"

export type Measurement = {
  variant: string
  /** largest relative error of the self-check */
  error?: number
  /** forward pass on one core at start-up */
  gigaflops?: number
  /** why this variant is out of the question */
  failure?: string
}

export type Method = "rollout" | "gradient_x_attention" | "input_x_gradient" | "integrated_gradients"

export type Model = ModelAnswer | ModelFields

export type ModelFields = {
  name: string
  problem: ModelFieldsProblem
}

export type ModelFieldsProblem = {
  status: number
  code: string
  detail: string
}

export type ModelForwardAnswerEncoder = {
  output?: Tensor
  hidden?: (Tensor)[]
  /** the chosen ones in the order asked */
  layers?: (ModelForwardAnswerLayer)[]
}

export type ModelForwardAnswerGrads = {
  embeddings?: Tensor
  params?: Record<string, Tensor>
}

export type ModelForwardAnswerLayer = {
  index: number
  weights?: Tensor
  scores?: Tensor
  masked_scores?: Tensor
  softcapped_scores?: Tensor
  logsumexp?: Tensor
  entropy?: Tensor
  max_score?: Tensor
  cross_weights?: Tensor
  cross_scores?: Tensor
  cross_masked_scores?: Tensor
  cross_softcapped_scores?: Tensor
  cross_logsumexp?: Tensor
  cross_entropy?: Tensor
  cross_max_score?: Tensor
  /** [B, H, N, k] each */
  top_keys?: ModelForwardAnswerLayerTopKeys
  head_metrics?: (HeadMetric)[]
  grad_output?: Tensor
  grad_weights?: Tensor
  grad_cross_weights?: Tensor
}

export type ModelForwardAnswerLayerTopKeys = {
  indices: Tensor
  weights: Tensor
}

export type ModelForwardAnswerNextTokens = {
  ids: ((number)[])[]
  strings?: ((string)[])[]
  probabilities: ((number)[])[]
}

export type ModelForwardRequestBackward = {
  /** what is differentiated: summed over the batch */
  of: Of
  /** embeddings [B, N, d_model] of the tokens; parameters by the checkpoint’s names. Default: embeddings; over the stream params too, where `emit` names grad_params */
  wrt?: (string)[] | null
}

export type ModelForwardRequestReturn = "output" | "weights" | "scores" | "masked_scores" | "softcapped_scores" | "logsumexp" | "entropy" | "max_score" | "cross_weights" | "cross_scores" | "cross_masked_scores" | "cross_softcapped_scores" | "cross_logsumexp" | "cross_entropy" | "cross_max_score" | "tokens" | "hidden" | "embedding" | "logits" | "next_tokens" | "relevance" | "head_metrics" | "top_keys" | "present"

export type MultiHeadAttentionAnswerGrads = {
  /** x’s */
  x?: Tensor
  /** the context’s */
  context?: Tensor
  /** in the mask’s own shape */
  mask?: Tensor
  /** [H] */
  sinks?: Tensor
  /** of the table that stands there */
  relative_bias?: AttentionAnswerGradsRelativeBias
  /** when `wrt` names it */
  past_k?: Tensor
  /** when `wrt` names it */
  past_v?: Tensor
  /** in the gates’ own shapes; in a stack the sum over the layers */
  attention_kind?: AttentionAnswerGradsAttentionKind
  /** when `wrt` names it */
  state?: AttentionAnswerGradsState
  /** by the parameters’ names */
  params?: Record<string, Tensor>
}

export type MultiHeadAttentionRequestBackward = {
  /** ∂L/∂output, shaped like the output */
  grad_output?: TensorLike
  /** target of a squared-error loss, shaped like the output */
  target?: TensorLike
  /** with `target`: Σ(output − target)² (default) or its mean over the elements that are no padding */
  loss?: Loss
  /** λ: adds λ × the mean entropy of the rows that attend to something */
  entropy_weight?: number
  /** ∂L/∂weights, before dropout, shaped like `weights`; where nothing is attended it is not looked at */
  grad_weights?: TensorLike
  /** ∂L/∂logsumexp, shaped like `logsumexp` */
  grad_logsumexp?: TensorLike
  /** inputs whose gradients are wanted; default x, context, every parameter, a float mask, sinks, relative_bias.table and gates */
  wrt?: (MultiHeadAttentionRequestBackwardWrt)[] | null
}

export type MultiHeadAttentionRequestBackwardWrt = MultiHeadAttentionRequestBackwardWrtName | string

export type MultiHeadAttentionRequestBackwardWrtName = "x" | "context" | "mask" | "sinks" | "relative_bias.table" | "past_k" | "past_v" | "attention_kind" | "attention_kind.gates" | "attention_kind.gates.decay" | "attention_kind.gates.beta" | "state" | "state.s" | "params"

export type MultiHeadAttentionRequestParams = {
  /** [d_model, heads·d_k] */
  w_q: TensorLike
  /** [d_context, kv_heads·d_k] */
  w_k: TensorLike
  /** [d_context, kv_heads·d_v] */
  w_v: TensorLike
  /** [heads·d_v, d_out] */
  w_o: TensorLike
  /** [heads·d_k] */
  b_q?: TensorLike
  /** [kv_heads·d_k] */
  b_k?: TensorLike
  /** [kv_heads·d_v] */
  b_v?: TensorLike
  /** [d_out] */
  b_o?: TensorLike
}

export type NextTokens = {
  top?: number
}

export type NonFiniteInputs = "reject" | "propagate"

export type Norm = "pre" | "post" | "sandwich"

export type NormKind = "layer" | "rms"

export type NotANumberOrInfinity = "NaN" | "Infinity"

export type Of = LogitOf | LogProbabilityOf | EmbeddingOf | OutputOf

export type OutputDtype = "float64" | "float32" | "float16" | "bfloat16"

export type OutputOf = {
  kind: "output"
  /** [B, N, d_model]: ∂L/∂output */
  grad_output: TensorLike
}

export type PlanAnswerProblem = {
  status: number
  code: string
  detail: string
}

export type PlanRequestEndpoint = PlanRequestEndpointName | string

export type PlanRequestEndpointName = "/v1/attention" | "/v1/self-attention" | "/v1/multi-head-attention" | "/v1/positional-encoding" | "/v1/transformer" | "/v1/compare" | "/v1/gradient-check" | "/v1/explain-mask"

export type Pooling = "mean" | "cls" | "last"

export type Position = "none" | "sinusoidal" | "rope" | "alibi"

export type PositionalEncodingAnswerGrads = {
  /** x’s */
  x?: Tensor
}

export type Precision = "float32" | "float64"

export type ProblemError = {
  /** JSON pointer into the body */
  path: string
  message: string
}

export type Progress = {
  done: number
  total: number
}

export type QkNorm = QkNormName | QkNormOptions

export type QkNormName = "l2"

export type QkNormOptions = RmsQkNorm | L2QkNorm

export type Queue = "ok" | "unavailable"

export type RelativeBias = {
  /** [buckets, H] */
  table: TensorLike
  /** from here on, all distances share a bucket */
  max_distance?: number
  /** half of the buckets for keys after i; false: those are all in bucket 0, as in T5’s decoder */
  bidirectional?: boolean
}

export type Relevance = {
  /** `rollout`: ∏ (½·mean over heads + ½·I), the row of `of`’s position (Abnar & Zuidema 2020). `gradient_x_attention`: Σ over layers and heads of max(0, W ⊙ ∂/∂W), that row (Chefer et al. 2021). `input_x_gradient`: Σ_d embedding · gradient. `integrated_gradients`: the same along the path from zero embeddings (Sundararajan et al. 2017); it sums to the difference of the scalar */
  method?: Method
  /** what the relevance is for; rollout takes its position alone */
  of?: Of
  /** of integrated_gradients */
  steps?: number
}

export type RmsQkNorm = {
  kind: "rms"
  eps?: number
}

export type Rope = {
  /** pair j turns by base^(−2j/dims) a position; default 10000 */
  base?: number
  /** [dims/2], instead of `base`: by how much each pair turns a position, in radians */
  frequencies?: TensorLike
  /** cos and sin times it; default 1. Beside `scaling` it multiplies what that gives */
  factor?: number
  scaling?: RopeScaling
  /** pairs (x_2j, x_2j+1) rather than (x_j, x_j+dims/2) */
  interleaved?: boolean
  /** how many leading elements are rotated; even; default d_k, or twice the frequencies */
  dims?: number
  /** position of the first query; default 0, or the length of the past */
  q_offset?: number
  /** position of the first new key; default 0, or the length of the past */
  k_offset?: number
  /** int32 positions of the queries [N], or with a leading B; instead of `q_offset`. Negative ones turn backwards */
  q_positions?: TensorLike
  /** int32 positions of the keys [M] that are new, or with a leading B; instead of `k_offset`. Negative ones turn backwards */
  k_positions?: TensorLike
}

export type RopeType = "default" | "linear" | "dynamic" | "yarn" | "longrope" | "llama3" | "proportional"

export type Rule = BaselineRule | ToleranceRule

export type Scheme = "xavier_uniform" | "xavier_normal" | "he_uniform" | "he_normal"

export type Segments = {
  /** [B, N]: int32 ids of the queries; a negative one is padding */
  q: TensorLike
  /** [B, M]: of the keys; default q, where N = M */
  kv?: TensorLike
}

export type SelfAttentionAnswerGrads = {
  /** x’s */
  x?: Tensor
  /** in the mask’s own shape */
  mask?: Tensor
  /** [H] */
  sinks?: Tensor
  /** of the table that stands there */
  relative_bias?: AttentionAnswerGradsRelativeBias
  /** when `wrt` names it */
  past_k?: Tensor
  /** when `wrt` names it */
  past_v?: Tensor
  /** in the gates’ own shapes; in a stack the sum over the layers */
  attention_kind?: AttentionAnswerGradsAttentionKind
  /** when `wrt` names it */
  state?: AttentionAnswerGradsState
  /** by the parameters’ names */
  params?: Record<string, Tensor>
}

export type SelfAttentionRequestBackward = {
  /** ∂L/∂output, shaped like the output */
  grad_output?: TensorLike
  /** target of a squared-error loss, shaped like the output */
  target?: TensorLike
  /** with `target`: Σ(output − target)² (default) or its mean over the elements that are no padding */
  loss?: Loss
  /** λ: adds λ × the mean entropy of the rows that attend to something */
  entropy_weight?: number
  /** ∂L/∂weights, before dropout, shaped like `weights`; where nothing is attended it is not looked at */
  grad_weights?: TensorLike
  /** ∂L/∂logsumexp, shaped like `logsumexp` */
  grad_logsumexp?: TensorLike
  /** inputs whose gradients are wanted; default x, every parameter, a float mask, sinks, relative_bias.table and gates */
  wrt?: (SelfAttentionRequestBackwardWrt)[] | null
}

export type SelfAttentionRequestBackwardWrt = SelfAttentionRequestBackwardWrtName | string

export type SelfAttentionRequestBackwardWrtName = "x" | "mask" | "sinks" | "relative_bias.table" | "past_k" | "past_v" | "attention_kind" | "attention_kind.gates" | "attention_kind.gates.decay" | "attention_kind.gates.beta" | "state" | "state.s" | "params"

export type SelfAttentionRequestParams = {
  /** [d_model, d_k] */
  w_q: TensorLike
  /** [d_model, d_k] */
  w_k: TensorLike
  /** [d_model, d_v] */
  w_v: TensorLike
  /** [d_k] */
  b_q?: TensorLike
  /** [d_k] */
  b_k?: TensorLike
  /** [d_v] */
  b_v?: TensorLike
}

export type SelfAttentionRequestReturn = "output" | "weights" | "scores" | "masked_scores" | "logsumexp" | "entropy" | "dropped_weights" | "softcapped_scores" | "max_score" | "present_k" | "present_v" | "state" | "params"

export type SinusoidalEncodingBackward = {
  /** ∂L/∂output, shaped like the output */
  grad_output?: TensorLike
  /** target of a squared-error loss, shaped like the output */
  target?: TensorLike
  /** with `target`: Σ(output − target)² (default) or its mean over the elements that are no padding */
  loss?: Loss
  /** λ: adds λ × the mean entropy of the rows that attend to something */
  entropy_weight?: number
  /** inputs whose gradients are wanted; default x */
  wrt?: (SinusoidalEncodingBackwardWrt)[] | null
}

export type SinusoidalEncodingBackwardWrt = "x"

export type StackRelativeBias = {
  /** from here on, all distances share a bucket */
  max_distance?: number
  /** half of the buckets for keys after i; false: those are all in bucket 0, as in T5’s decoder */
  bidirectional?: boolean
}

export type StackRope = StackRopeFields | (StackRopeItem)[]

export type StackRopeFields = {
  /** pair j turns by base^(−2j/dims) a position; default 10000 */
  base?: number
  /** [dims/2], instead of `base`: by how much each pair turns a position, in radians */
  frequencies?: TensorLike
  /** cos and sin times it; default 1. Beside `scaling` it multiplies what that gives */
  factor?: number
  scaling?: RopeScaling
  /** pairs (x_2j, x_2j+1) rather than (x_j, x_j+dims/2) */
  interleaved?: boolean
  /** how many leading elements are rotated; even; default d_k, or twice the frequencies */
  dims?: number
  /** int32 positions of the queries [N], or with a leading B; instead of `q_offset`. Negative ones turn backwards */
  q_positions?: TensorLike
  /** int32 positions of the keys [M] that are new, or with a leading B; instead of `k_offset`. Negative ones turn backwards */
  k_positions?: TensorLike
}

export type StackRopeItem = StackRopeFields | null

export type StackWindow = Window | (StackWindowItem)[]

export type StackWindowItem = Window | null

export type State = {
  /** [B, H_kv, d_k, d_v] */
  s?: TensorLike
  /** [B, H_kv, d_k·(d_v + 2)], float64, of `elu1`: sums over whole chunks of 96 keys, with their scales */
  sums?: TensorLike
  /** [B, H_kv, R, d_k], of `elu1`: the R < 96 keys behind them */
  k?: TensorLike
  /** [B, H_kv, R, d_v], their values */
  v?: TensorLike
}

export type TensorComparisonHead = {
  index: (number)[]
  max_abs: AnyNumber
  ratio: number | null
  verdict: Verdict
  /** with `error_maps`: the head’s rows and columns in at most 32 × 32 blocks, of each the largest |candidate − truth| in multiples of what is allowed; of more than 64 heads the worst have one */
  error_map?: ((AnyNumber)[])[]
}

export type Token = string | number

export type Tokens = {
  ids: ((number)[])[]
  /** of the vocabulary; where there is a tokenizer */
  strings?: ((string)[])[]
  /** of a text: [begin, end) in Unicode code points */
  offsets?: (((number)[])[])[]
  attention_mask: ((number)[])[]
}

export type ToleranceCompareAnswerRule = {
  kind: "tolerance"
  rtol: number
  atol: number
}

export type ToleranceRule = {
  kind: "tolerance"
  rtol?: number
  atol?: number
}

export type TopKeys = {
  k?: number
}

export type TransformerAnswerEncoder = {
  output?: Tensor
  layers?: (TransformerAnswerEncoderLayer)[]
  /** every parameter by its name, with "return":["params"] */
  params?: Record<string, Tensor>
}

export type TransformerAnswerEncoderLayer = {
  /** [B, H, N, M]: softmax, before dropout; with sinks a row sums to less than 1 */
  weights?: Tensor
  /** [B, H, N, M]: q·kᵀ·scale for every pair */
  scores?: Tensor
  /** [B, H, N, M]: what the softmax sees; "-Infinity" where masked */
  masked_scores?: Tensor
  /** [B, H, N]; "-Infinity" where a row attends to nothing, unless there are sinks */
  logsumexp?: Tensor
  /** [B, H, N]: −Σ p ln p in nats, before dropout */
  entropy?: Tensor
  /** [B, H, N, M]: weights after dropout */
  dropped_weights?: Tensor
  /** [B, H, N, M]: the scores after the softcap, before biases and masks, for every pair */
  softcapped_scores?: Tensor
  /** [B, H]: the largest masked score of a head, a sink left out (what QK-clip looks at); "-Infinity" where nothing attends */
  max_score?: Tensor
}

export type TransformerAnswerGrads = {
  /** x’s */
  x?: Tensor
  /** the context’s */
  context?: Tensor
  /** by the names of the request’s, where `wrt` names it */
  past?: Record<string, Tensor>
  /** by the names of the request’s, where `wrt` names it */
  state?: Record<string, Tensor>
  /** in the gates’ own shapes; in a stack the sum over the layers */
  attention_kind?: AttentionAnswerGradsAttentionKind
  /** x and params of the encoder */
  encoder?: TransformerAnswerGradsEncoder
  /** the sum over the layers, in the mask’s own shape */
  mask?: Tensor
  /** of the table that stands there */
  relative_bias?: AttentionAnswerGradsRelativeBias
  /** by the parameters’ names */
  params?: Record<string, Tensor>
}

export type TransformerAnswerGradsEncoder = {
  x?: Tensor
  params?: Record<string, Tensor>
}

export type TransformerAnswerLayer = {
  /** [B, H, N, M]: softmax, before dropout; with sinks a row sums to less than 1 */
  weights?: Tensor
  /** [B, H, N, M]: q·kᵀ·scale for every pair */
  scores?: Tensor
  /** [B, H, N, M]: what the softmax sees; "-Infinity" where masked */
  masked_scores?: Tensor
  /** [B, H, N]; "-Infinity" where a row attends to nothing, unless there are sinks */
  logsumexp?: Tensor
  /** [B, H, N]: −Σ p ln p in nats, before dropout */
  entropy?: Tensor
  /** [B, H, N, M]: weights after dropout */
  dropped_weights?: Tensor
  /** [B, H, N, M]: the scores after the softcap, before biases and masks, for every pair */
  softcapped_scores?: Tensor
  /** [B, H]: the largest masked score of a head, a sink left out (what QK-clip looks at); "-Infinity" where nothing attends */
  max_score?: Tensor
  /** the same of cross-attention: [B, H, N, M]: softmax, before dropout; with sinks a row sums to less than 1 */
  cross_weights?: Tensor
  /** the same of cross-attention: [B, H, N, M]: q·kᵀ·scale for every pair */
  cross_scores?: Tensor
  /** the same of cross-attention: [B, H, N, M]: what the softmax sees; "-Infinity" where masked */
  cross_masked_scores?: Tensor
  /** the same of cross-attention: [B, H, N]; "-Infinity" where a row attends to nothing, unless there are sinks */
  cross_logsumexp?: Tensor
  /** the same of cross-attention: [B, H, N]: −Σ p ln p in nats, before dropout */
  cross_entropy?: Tensor
  /** the same of cross-attention: [B, H, N, M]: weights after dropout */
  cross_dropped_weights?: Tensor
  /** the same of cross-attention: [B, H, N, M]: the scores after the softcap, before biases and masks, for every pair */
  cross_softcapped_scores?: Tensor
  /** the same of cross-attention: [B, H]: the largest masked score of a head, a sink left out (what QK-clip looks at); "-Infinity" where nothing attends */
  cross_max_score?: Tensor
  /** with compare_exact: the heads’ outputs beside those of exact attention, padding left out */
  exact_error?: ExactError
}

export type TransformerRequestBackward = {
  /** ∂L/∂output, shaped like the output */
  grad_output?: TensorLike
  /** target of a squared-error loss, shaped like the output */
  target?: TensorLike
  /** with `target`: Σ(output − target)² (default) or its mean over the elements that are no padding */
  loss?: Loss
  /** λ: adds λ × the mean entropy of the rows that attend to something */
  entropy_weight?: number
  /** inputs whose gradients are wanted; default x, the context or the encoder’s x, every parameter, a float mask, the table of relative_bias and gates */
  wrt?: (TransformerRequestBackwardWrt)[] | null
}

export type TransformerRequestBackwardWrt = TransformerRequestBackwardWrtName | string

export type TransformerRequestBackwardWrtName = "x" | "mask" | "relative_bias" | "relative_bias.table" | "context" | "past" | "params" | "encoder" | "encoder.x" | "encoder.params" | "attention_kind" | "attention_kind.gates" | "attention_kind.gates.decay" | "attention_kind.gates.beta" | "state"

export type TransformerRequestReturn = "output" | "weights" | "scores" | "masked_scores" | "logsumexp" | "entropy" | "dropped_weights" | "softcapped_scores" | "max_score" | "cross_weights" | "cross_scores" | "cross_masked_scores" | "cross_logsumexp" | "cross_entropy" | "cross_dropped_weights" | "cross_softcapped_scores" | "cross_max_score" | "present" | "state" | "params"

export type Verdict = "pass" | "fail"

export type WindowFields = {
  /** keys to the left of the aligned position; null = unbounded */
  left?: number | null
  /** keys to the right of the aligned position; null = unbounded */
  right?: number | null
  /** where row i stands among the keys; default as `causal` says, `top_left` without it */
  align?: Alignment
}

export type WindowItem = number | (number)[]

export type Worst = {
  index: (number)[]
  got: AnyNumber
  want: AnyNumber
  allowed: AnyNumber
}

/** What every path takes and gives. */
export interface Endpoints {
  '/v1/attention': { request: AttentionRequest; answer: AttentionAnswer }
  '/v1/self-attention': { request: SelfAttentionRequest; answer: SelfAttentionAnswer }
  '/v1/multi-head-attention': { request: MultiHeadAttentionRequest; answer: MultiHeadAttentionAnswer }
  '/v1/positional-encoding': { request: PositionalEncodingRequest; answer: PositionalEncodingAnswer }
  '/v1/transformer': { request: TransformerRequest; answer: TransformerAnswer }
  '/v1/compare': { request: CompareRequest; answer: CompareAnswer }
  '/v1/gradient-check': { request: GradientCheckRequest; answer: GradientCheckAnswer }
  '/v1/explain-mask': { request: ExplainMaskRequest; answer: ExplainMaskAnswer }
  '/v1/plan': { request: PlanRequest; answer: PlanAnswer }
  '/v2/repository/index': { request: RepositoryIndexRequest; answer: RepositoryIndexAnswer }
  '/v1/jobs': { request: JobRequest; answer: JobAnswer }
}
