// Written by scripts/client-types.ts from openapi/asyncapi.json: npm run openapi.
import type { Tensor, TensorLike } from './tensor-like.ts'

export type StartMessage = {
  type: "start"
  id: RunId
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
  state?: Record<string, TensorLike>
  /** Keys and values of the positions before x, of every layer: layers.i.k and layers.i.v [B, H_kv, P, head_dim], as `"return":["present"]` gives them. For causal stacks; positions go on from P, and masks and kv_lengths count all P + N keys. In safetensors past.layers.0.k. */
  past?: Record<string, TensorLike>
  /** [B]: positions of the context from there on are padding */
  context_lengths?: TensorLike
  /** Dropout on the attention weights and on the hidden units of the feed-forward network. Layer i draws with the seeds seed + 2i and seed + 2i + 1; with a context seed + 3i, seed + 3i + 1 (cross-attention) and seed + 3i + 2. */
  dropout?: Dropout
  /** keep only the input of each layer and compute it again in the backward pass: less memory, more time, the same bits */
  checkpoint?: boolean
  pass?: Pass
  /** the header traceparent of W3C’s Trace Context, where this server sends traces */
  traceparent?: string
  /** the header tracestate of W3C’s Trace Context, where this server sends traces */
  tracestate?: string
  /** with `"pass":"forward_backward"` */
  backward?: StartMessageBackward
  /** what the layers’ frames hold. Forward: output [B,N,d_model], weights and scores [B,H,N,N], entropy and logsumexp [B,H,N]. Backward: grad_output (what reaches that layer’s output), grad_weights [B,H,N,N] (∂L/∂weights, each weight taken as a variable of its own; 0 where not attended), grad_params (an object by full parameter name; the last layer’s has final_norm too). With a context, cross_weights, cross_scores, cross_entropy, cross_logsumexp and grad_cross_weights are those of its attention [B,H,N,M]. `present` is an object as `past` (causal stacks), `state` one as `state`; its position stands in `done`. Frames of an encoder say `"stack":"encoder"` and have no cross-attention; they come backward where `wrt` means anything of it. A pass with nothing to emit sends no layer frames. */
  emit?: (Emit)[]
  /** the layers whose frames are wanted; default all, and [] none; of an encoder there are all */
  layers?: LayerList
  /** the heads that weights, scores, entropy, logsumexp and grad_weights hold, in this order; of an encoder’s layers all */
  heads?: IndexList
  /** Send maps (weights, scores, grad_weights, and those of cross-attention) as thumbnails, a byte an element: squares of k × k elements become one, k being the least that makes no side longer than max_size. `scales` has a number s for each head, the largest magnitude of its thumbnail. weights: value = byte/255·s. scores and grad_weights: value = (byte − 128)/127·s, so that 128 is 0. The full maps stay on the server for `fetch`, until `release`, the end of the connection or a bounded time. */
  detail?: Detail
  /** `float32`: SIMD kernels; `float64`: the reference kernels */
  precision?: Precision
  /** `reject`: a NaN or infinity in any input is a 400 that names its place (−∞ in a float mask is no fault) */
  non_finite?: NonFiniteInputs
  /** how tensors are written. `safetensors`: each layer, token, done and map is one binary message, a safetensors file whose tensors carry their JSON places (`tensors.weights`), everything else as one JSON string in `__metadata__` under `frame` */
  encoding?: Encoding
  /** element type of the tensors in the answer; default: the precision */
  output_dtype?: OutputDtype
  /** layer frames that may be on the wire; each takes one, `credit` adds some */
  credit?: number
  /** as `going_away` of another server says it of the run that this same message began there: the frames before that layer are not sent again. They are computed; the others are the same to the bit. */
  resume?: Resume
}

export type RunId = string

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
  rope?: Rope
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
  params?: Record<string, TensorLike>
  /** Draw the parameters instead: the same seed gives the same parameters on every machine. Biases and beta are 0, gamma is 1. `"return":["params"]` hands them back. */
  init?: Init
}

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

export type Window = WindowFields | WindowItem

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

export type Resume = {
  /** of the run there */
  id?: RunId
  /** `generate`: of a model, the tokens that follow; `done`: all frames have come, and only that message is missing */
  pass: ResumePass
  /** with `forward` and `backward`: the next layer in the order of the pass, one that it has */
  from_layer?: number
  /** whose layer it is, where it is the encoder’s */
  stack?: "encoder"
  /** with `generate`: the next token */
  from_token?: number
  /** with `generate`: of which text */
  item?: number
}

export type ModelStartMessage = {
  type: "start"
  id: RunId
  /** its name, as `GET /v1/models` has it */
  model: string
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
  /** the layers whose frames are wanted; default all, and [] none */
  layers?: LayerList
  /** the heads that maps and rows hold, in this order; default all */
  heads?: IndexList
  /** what to answer. `tokens` comes always. `hidden`: the embeddings and every layer’s output, the last one behind the final norm. `embedding`: a vector of the text, see `pooling`. `next_tokens`: the most probable ones behind the last position that is no padding */
  return?: (ModelStartMessageReturn)[]
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
  backward?: ModelStartMessageBackward
  /** `float32`: SIMD kernels; `float64`: the reference kernels */
  precision?: Precision
  /** element type of the tensors in the answer; default: the precision */
  output_dtype?: OutputDtype
  /** default: forward_backward where there is `backward` */
  pass?: Pass
  /** the header traceparent of W3C’s Trace Context, where this server sends traces */
  traceparent?: string
  /** the header tracestate of W3C’s Trace Context, where this server sends traces */
  tracestate?: string
  /** what the layers’ frames hold, in one frame a layer and pass: forward the layer’s output, maps and rows of its attention, present, head_metrics, top_keys; with backward grad_output, grad_weights, grad_cross_weights and grad_params (an object by the checkpoint’s names; the last layer’s has the final norm; what is of no layer stands in `done`). What `return` names of layers is emitted too; default: weights, if it names nothing of them. With weights (and cross_weights) each token that is generated comes with what its row attends to, in the chosen layers and heads */
  emit?: (ModelStartMessageEmit)[]
  /** Send maps (weights, scores, grad_weights, and those of cross-attention) as thumbnails, a byte an element: squares of k × k elements become one, k being the least that makes no side longer than max_size. `scales` has a number s for each head, the largest magnitude of its thumbnail. weights: value = byte/255·s. scores and grad_weights: value = (byte − 128)/127·s, so that 128 is 0. The full maps stay on the server for `fetch`, until `release`, the end of the connection or a bounded time. */
  detail?: Detail
  /** how tensors are written. `safetensors`: each layer, token, done and map is one binary message, a safetensors file whose tensors carry their JSON places (`tensors.weights`), everything else as one JSON string in `__metadata__` under `frame` */
  encoding?: Encoding
  /** layer frames that may be on the wire; each takes one, `credit` adds some */
  credit?: number
  /** as `going_away` of another server says it of the run that this same message began there: the frames before that layer are not sent again. They are computed; the others are the same to the bit. */
  resume?: Resume
}

export type CreditMessage = {
  type: "credit"
  id: RunId
  add: number
}

export type CancelMessage = {
  type: "cancel"
  id: RunId
}

export type FetchMessage = {
  type: "fetch"
  id: RunId
  layer: number
  head: number
  tensor: FetchMessageTensor
  /** of a layer of the encoder */
  stack?: "encoder"
  /** follows from the tensor; checked where given */
  pass?: FetchMessagePass
}

export type ReleaseMessage = {
  type: "release"
  id: RunId
}

export type AcceptedMessage = {
  type: "accepted"
  id: RunId
  /** how many the stack has, without those of an encoder */
  layers: number
  /** of a model: what its layers are about */
  tokens?: Tokens
  /** the span of the run, where this server sends traces */
  traceresponse?: string
  plan: Plan
}

export type LayerMessage = {
  type: "layer"
  id: RunId
  pass: FetchMessagePass
  /** whose layer it is, where it is the encoder’s */
  stack?: "encoder"
  /** the layer; the backward pass comes from the last to the first */
  index: number
  timing: Timing
  /** of a model, where `emit` names them */
  head_metrics?: (HeadMetric)[]
  /** what `emit` names of this pass; with `detail` the maps are thumbnails of dtype uint8 */
  tensors: Tensors
  /** with `detail`: [B, H], what the bytes of a thumbnail stand for. weights: byte/255·scale; scores and grad_weights: (byte − 128)/127·scale, 128 being 0 */
  scales?: Scales
}

export type TokenMessage = {
  type: "token"
  id: RunId
  /** which text it follows */
  item: number
  /** which of its new tokens it is */
  index: number
  token: TokenMessageToken
  timing: TokenMessageTiming
  /** where `emit` names weights: whom the row that the token was drawn from attends to, in the chosen layers and heads */
  layers?: (TokenMessageLayer)[]
}

export type ProgressMessage = {
  type: "progress"
  id: RunId
  /** layers computed, those of both passes counted, and tokens generated */
  done: number
  total: number
}

export type DoneMessage = {
  type: "done"
  id: RunId
  /** the attention_kind, where it is not softmax: the output is not that of exact attention */
  approximation?: Approximation
  /** with a `dialect`: what was read, field by field */
  conventions?: Record<string, unknown>
  /** with a target: the squared error; with entropy_weight: plus (or only) that term */
  loss?: AnyNumber
  /** with compare_exact */
  layers?: (DoneMessageLayer)[]
  timing: DoneMessageTiming
  /** [B, N, d_model] in x’s rank; of a model where `return` names it */
  output?: Tensor
  /** of a model, as in `accepted` */
  tokens?: Tokens
  /** the chosen ones, as maps and rows hold them */
  heads?: (number)[]
  /** layers + 1 of [B, N, d_model] */
  hidden?: (Tensor)[]
  /** [B, d_model], of length 1 */
  embedding?: Tensor
  /** [B, N, vocabulary] */
  logits?: Tensor
  next_tokens?: DoneMessageNextTokens
  /** [B, N] */
  relevance?: Tensor
  /** of each item the new tokens, with the end token where there was one */
  generated?: Generated
  /** with backward: the scalar of each item, where it has one */
  values?: (number)[]
  /** where `emit` names the state: the part of it that is of no layer */
  state?: State
  /** where there is one */
  encoder?: DoneMessageEncoder
  /** of x, the context, the past, a float mask and a table of biases beside the stack, as `wrt` says; those of parameters are in the layers’ frames */
  grads?: DoneMessageGrads
}

export type MapMessage = {
  type: "map"
  id: RunId
  layer: number
  head: number
  tensor: FetchMessageTensor
  stack?: "encoder"
  pass: FetchMessagePass
  /** [B, N, M], or [N, M] without a batch; M is N but for cross-attention */
  values: Tensor
}

export type CancelledMessage = {
  type: "cancelled"
  id: RunId
}

export type ErrorMessage = {
  type: "error"
  id?: RunId
  /** the fetch that failed */
  fetch?: Fetch
  problem: Problem
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

export type GoingAwayMessage = {
  type: "going_away"
  /** of each run that has not ended: what its `start` takes for `resume` on another server */
  resume?: (Resume)[]
}

export type NonFinite = "NaN" | "Infinity" | "-Infinity"

export type Text = string | (string)[]

export type IndexList = (number)[]

export type LayerList = (number)[]

export type Shape = (number)[]

export type Activation = "relu" | "gelu" | "gelu_tanh" | "silu" | "quick_gelu" | "swiglu" | "geglu" | "geglu_tanh"

export type Alignment = "top_left" | "bottom_right"

export type AnyNumber = number | NonFinite

export type Approximation = "linear" | "lsh" | "local" | "strided" | "block" | "gated" | "delta" | "gated_delta"

export type AttentionKind = AttentionKindName | AttentionKindOptions

export type AttentionKindName = "softmax" | "linear" | "lsh" | "local" | "strided" | "block" | "gated" | "delta" | "gated_delta" | "gated_linear"

export type AttentionKindOptions = LinearAttention | LshAttention | LocalAttention | StridedAttention | BlockAttention | GatedAttention | DeltaAttention | GatedDeltaAttention

export type Causal = boolean | Alignment

export type Detail = {
  /** most rows and columns of a thumbnail */
  max_size?: number
  dtype?: "uint8"
  /** `max`: the element of largest magnitude of each square, with its sign; `mean`: their mean */
  pool?: Pool
}

export type Dialect = "torch-sdpa" | "torch-mha" | "flash-attn" | "onnx-23" | "onnx-24" | "onnx-25" | "jax" | "transformers"

export type Digests = {
  first: string
  got: string
}

export type DoneMessageEncoder = {
  output?: Tensor
  hidden?: (Tensor)[]
}

export type DoneMessageGrads = {
  x?: Tensor
  /** of a model */
  embeddings?: Tensor
  /** of a model, by the checkpoint’s names: those that `wrt` names and no layer’s frame holds */
  params?: Record<string, Tensor>
  context?: Tensor
  past?: Tensor
  state?: Tensor
  /** in the gates’ own shapes; in a stack the sum over the layers */
  attention_kind?: DoneMessageGradsAttentionKind
  encoder?: DoneMessageGradsEncoder
  mask?: Tensor
  /** of the table that stands there */
  relative_bias?: DoneMessageGradsRelativeBias
}

export type DoneMessageGradsAttentionKind = {
  gates?: DoneMessageGradsAttentionKindGates
}

export type DoneMessageGradsAttentionKindGates = {
  decay?: Tensor
  beta?: Tensor
}

export type DoneMessageGradsEncoder = {
  x: Tensor
}

export type DoneMessageGradsRelativeBias = {
  table?: Tensor
}

export type DoneMessageLayer = {
  /** with compare_exact: the heads’ outputs beside those of exact attention, padding left out */
  exact_error?: ExactError
}

export type DoneMessageNextTokens = {
  ids: ((number)[])[]
  strings?: ((string)[])[]
  probabilities: ((number)[])[]
}

export type DoneMessageTiming = {
  /** from the acceptance of the run to its end, waiting for the client included, in milliseconds */
  total: number
  /** reading inputs, in milliseconds */
  decode: number
  /** before the first task, in milliseconds */
  queue: number
  /** the sum over the layers, in milliseconds */
  compute: number
  /** writing small frames; large ones are written while they are sent, in milliseconds */
  encode: number
}

export type Dropout = {
  p: number
  seed?: number
}

export type EmbeddingOf = {
  kind: "embedding"
  /** [d_model] or [B, d_model]: the scalar is embedding · target */
  target: TensorLike
}

export type Emit = "output" | "weights" | "scores" | "entropy" | "logsumexp" | "cross_weights" | "cross_scores" | "cross_entropy" | "cross_logsumexp" | "present" | "state" | "grad_output" | "grad_weights" | "grad_cross_weights" | "grad_params"

export type EmptyRows = "zeros" | "nan" | "uniform"

export type Encoder = {
  stack: Stack
  /** [B, M, d], or [M, d] without a batch */
  x: TensorLike
  /** [B]: positions from there on are padding, in the encoder and in the context that it makes */
  q_lengths?: TensorLike
}

export type Encoding = "nested" | "flat" | "base64" | "safetensors"

export type ErrorNumber = number | NotANumberOrInfinity

export type ExactError = {
  /** largest difference */
  max_abs: ErrorNumber
  /** root of the mean square difference */
  rms: ErrorNumber
  /** norm of the difference over the norm of the exact output */
  relative: ErrorNumber
}

export type Feature = "elu1" | "relu" | "identity"

export type Fetch = {
  id: RunId
  layer: number
  head: number
  tensor: FetchMessageTensor
  /** of a layer of the encoder */
  stack?: "encoder"
  /** follows from the tensor; checked where given */
  pass?: FetchMessagePass
}

export type FetchMessagePass = "forward" | "backward"

export type FetchMessageTensor = "weights" | "scores" | "cross_weights" | "cross_scores" | "grad_weights" | "grad_cross_weights"

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

export type Init = {
  /** Glorot & Bengio 2010, or He et al. 2015; fans are those of the whole matrix */
  scheme?: Scheme
  seed?: number
  /** whether there are biases (of 0) */
  bias?: boolean
}

export type L2QkNorm = {
  kind: "l2"
  eps?: number
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

export type Method = "rollout" | "gradient_x_attention" | "input_x_gradient" | "integrated_gradients"

export type ModelStartMessageBackward = {
  /** what is differentiated: summed over the batch */
  of: Of
  /** embeddings [B, N, d_model] of the tokens; parameters by the checkpoint’s names. Default: embeddings; over the stream params too, where `emit` names grad_params */
  wrt?: (string)[]
}

export type ModelStartMessageEmit = "output" | "weights" | "scores" | "masked_scores" | "softcapped_scores" | "logsumexp" | "entropy" | "max_score" | "cross_weights" | "cross_scores" | "cross_masked_scores" | "cross_softcapped_scores" | "cross_logsumexp" | "cross_entropy" | "cross_max_score" | "present" | "head_metrics" | "top_keys" | "grad_output" | "grad_weights" | "grad_cross_weights" | "grad_params"

export type ModelStartMessageReturn = "output" | "weights" | "scores" | "masked_scores" | "softcapped_scores" | "logsumexp" | "entropy" | "max_score" | "cross_weights" | "cross_scores" | "cross_masked_scores" | "cross_softcapped_scores" | "cross_logsumexp" | "cross_entropy" | "cross_max_score" | "tokens" | "hidden" | "embedding" | "logits" | "next_tokens" | "relevance" | "head_metrics" | "top_keys" | "present"

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

export type Pass = "forward" | "forward_backward"

export type Plan = {
  /** floating-point operations of the run */
  flops: number
  /** tensor memory that the run holds until it has ended */
  bytes: number
  /** estimated time at the speed measured so far, on an idle server */
  seconds: number
}

export type Pool = "max" | "mean"

export type Pooling = "mean" | "cls" | "last"

export type Position = "none" | "sinusoidal" | "rope" | "alibi"

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

export type ResumePass = "forward" | "backward" | "generate" | "done"

export type RmsQkNorm = {
  kind: "rms"
  eps?: number
}

export type Rope = RopeFields | (RopeItem)[]

export type RopeFields = {
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

export type RopeItem = RopeFields | null

export type RopeType = "default" | "linear" | "dynamic" | "yarn" | "longrope" | "llama3" | "proportional"

export type Scales = {
  weights?: Tensor
  scores?: Tensor
  cross_weights?: Tensor
  cross_scores?: Tensor
  grad_weights?: Tensor
  grad_cross_weights?: Tensor
}

export type Scheme = "xavier_uniform" | "xavier_normal" | "he_uniform" | "he_normal"

export type Segments = {
  /** [B, N]: int32 ids of the queries; a negative one is padding */
  q: TensorLike
  /** [B, M]: of the keys; default q, where N = M */
  kv?: TensorLike
}

export type StackRelativeBias = {
  /** from here on, all distances share a bucket */
  max_distance?: number
  /** half of the buckets for keys after i; false: those are all in bucket 0, as in T5’s decoder */
  bidirectional?: boolean
}

export type StackWindow = Window | (StackWindowItem)[]

export type StackWindowItem = Window | null

export type StartMessageBackward = {
  /** ∂L/∂output, shaped like the output */
  grad_output?: TensorLike
  /** target of a squared-error loss, shaped like the output */
  target?: TensorLike
  /** with `target`: Σ(output − target)² (default) or its mean over the elements that are no padding */
  loss?: Loss
  /** λ: adds λ × the mean entropy of the rows that attend to something */
  entropy_weight?: number
  /** inputs whose gradients are wanted; default x, the context or the encoder’s x, every parameter, a float mask, the table of relative_bias and gates */
  wrt?: (StartMessageBackwardWrt)[]
}

export type StartMessageBackwardWrt = StartMessageBackwardWrtName | string

export type StartMessageBackwardWrtName = "x" | "mask" | "relative_bias" | "relative_bias.table" | "context" | "past" | "params" | "encoder" | "encoder.x" | "encoder.params" | "attention_kind" | "attention_kind.gates" | "attention_kind.gates.decay" | "attention_kind.gates.beta" | "state"

export type State = {
  position: Tensor
}

export type Tensors = {
  output?: Tensor
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
  top_keys?: TensorsTopKeys
  /** layers.i.k and layers.i.v */
  present?: Record<string, Tensor>
  /** layers.i.s */
  state?: Record<string, Tensor>
  grad_output?: Tensor
  grad_weights?: Tensor
  grad_cross_weights?: Tensor
  /** by full parameter name; of a model by the checkpoint’s names */
  grad_params?: Record<string, Tensor>
}

export type TensorsTopKeys = {
  indices: Tensor
  weights: Tensor
}

export type Timing = {
  /** from the acceptance of the run to the end of this layer, in milliseconds */
  at: number
  /** wall-clock time of this layer’s tasks, in milliseconds */
  compute: number
}

export type Token = string | number

export type TokenMessageLayer = {
  index: number
  /** [H, M]: M tokens, without padding, with those generated before */
  weights?: Tensor
  /** [H, M] of the encoder’s tokens */
  cross_weights?: Tensor
}

export type TokenMessageTiming = {
  /** from the acceptance of the run to this token, in milliseconds */
  at: number
  /** wall-clock time of this token’s tasks, in milliseconds */
  compute: number
}

export type TokenMessageToken = {
  id: number
  string?: string
}

export type Tokens = {
  ids: ((number)[])[]
  /** of the vocabulary; where there is a tokenizer */
  strings?: ((string)[])[]
  /** of a text: [begin, end) in Unicode code points */
  offsets?: (((number)[])[])[]
  attention_mask: ((number)[])[]
}

export type TopKeys = {
  k?: number
}

export type WindowFields = {
  /** keys to the left of the aligned position; null = unbounded */
  left?: number | null
  /** keys to the right of the aligned position; null = unbounded */
  right?: number | null
  /** where row i stands among the keys; default as `causal` says, `top_left` without it */
  align?: Alignment
}

export type WindowItem = number | (number)[]
