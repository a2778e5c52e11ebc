/** T5 (Raffel et al. 2020), its encoder and decoder; with a gate as T5 v1.1 has one. Scores are not scaled; biases by distance. */
import { type ModelConfig, unsupported } from '../config.ts'
import type { Family, ModelSpec, Names } from '../family.ts'
import { Weights } from '../weights.ts'
import { activation, gatedActivation } from './activations.ts'

interface Sizes {
  dModel: number
  heads: number
  headDim: number
  hidden: number
  gated: boolean
  buckets: number
}

/** The parameters of the encoder or the decoder, below `to`. */
function stackWeights(weights: Weights, from: string, to: string, layers: number, sizes: Sizes): void {
  const { dModel, heads, headDim, hidden, gated, buckets } = sizes
  const bias = { bias: false }
  const decoder = from === 'decoder'
  const table = `${from}.block.0.layer.0.SelfAttention.relative_attention_bias.weight`
  weights.table(`${to}relative_bias.table`, table, buckets, heads)
  for (let layer = 0; layer < layers; layer++) {
    const block = `${from}.block.${layer}.layer`
    const own = `${to}layers.${layer}`
    const attention = (name: string, tensor: string) => {
      for (const side of ['q', 'k', 'v']) {
        weights.linear(`${own}.${name}.w_${side}`, `${tensor}.${side}`, dModel, heads * headDim, bias)
      }
      weights.linear(`${own}.${name}.w_o`, `${tensor}.o`, heads * headDim, dModel, bias)
    }
    attention('attention', `${block}.0.SelfAttention`)
    weights.norm(`${own}.norm1`, `${block}.0.layer_norm`, dModel, bias)
    if (decoder) {
      attention('cross_attention', `${block}.1.EncDecAttention`)
      weights.norm(`${own}.norm2`, `${block}.1.layer_norm`, dModel, bias)
    }
    const last = decoder ? 2 : 1
    const dense = `${block}.${last}.DenseReluDense`
    if (gated) weights.linear(`${own}.ffn.w_gate`, `${dense}.wi_0`, dModel, hidden, bias)
    weights
      .linear(`${own}.ffn.w_1`, `${dense}.${gated ? 'wi_1' : 'wi'}`, dModel, hidden, bias)
      .linear(`${own}.ffn.w_2`, `${dense}.wo`, hidden, dModel, bias)
      .norm(`${own}.norm${last + 1}`, `${block}.${last}.layer_norm`, dModel, bias)
  }
  weights.norm(`${to}final_norm`, `${from}.final_layer_norm`, dModel, bias)
}

function read(config: ModelConfig, names: Names): ModelSpec {
  if (!names.has('decoder.final_layer_norm.weight'))
    throw unsupported('a T5 encoder without its decoder is not supported')
  const layers = config.count('num_decoder_layers', config.count('num_layers'))
  const vocabulary = config.count('vocab_size')
  const [gate, act] = activationOf(config)
  const sizes: Sizes = {
    dModel: config.count('d_model'),
    heads: config.count('num_heads'),
    headDim: config.count('d_kv'),
    hidden: config.count('d_ff'),
    gated: gate,
    buckets: config.count('relative_attention_num_buckets', 32),
  }
  const { dModel, heads, headDim, hidden } = sizes
  const weights = new Weights()
  weights.table('embeddings.tokens', 'shared.weight', vocabulary, dModel)
  stackWeights(weights, 'encoder', 'encoder.', config.count('num_layers'), sizes)
  stackWeights(weights, 'decoder', '', layers, sizes)
  const own = names.has('lm_head.weight')
  if (own) weights.table('head.weight', 'lm_head.weight', vocabulary, dModel)
  const scaled = config.flag('scale_decoder_outputs', config.flag('tie_word_embeddings', true))
  const shared = {
    heads,
    head_dim: headDim,
    d_ff: hidden,
    norm: 'pre',
    norm_kind: 'rms',
    norm_eps: config.number('layer_norm_epsilon', 1e-6),
    activation: act,
    scale: 1,
  }
  const distance = config.count('relative_attention_max_distance', 128)
  const bias = (bidirectional: boolean) => ({ max_distance: distance, bidirectional })
  return {
    family: 't5',
    stack: { ...shared, layers, causal: true, relative_bias: bias(false) },
    encoder: {
      stack: { ...shared, layers: config.count('num_layers'), relative_bias: bias(true) },
      start: config.whole('decoder_start_token_id', config.whole('pad_token_id', 0)),
    },
    embeddings: { factor: 1, positions: 'none', types: false },
    head: {
      weight: own ? 'head.weight' : 'embeddings.tokens',
      bias: false,
      factor: scaled ? dModel ** -0.5 : 1,
    },
    sizes: { layers, heads, kvHeads: heads, dModel, headDim, vocabulary, maxLength: undefined },
    weights,
  }
}

/** `gated-gelu` means the approximation by tanh, as transformers has it for T5. */
function activationOf(config: ModelConfig): [gated: boolean, name: string] {
  const text = config.text('feed_forward_proj', 'relu')
  if (!text.startsWith('gated-')) return [false, activation(text)]
  const name = text.slice('gated-'.length)
  return [true, gatedActivation(name === 'gelu' ? 'gelu_new' : name)]
}

export const t5: Family = {
  types: ['t5'],
  prefix: 'transformer.',
  ignored:
    /^(encoder|decoder)\.embed_tokens\.weight$|^decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias/,
  read,
}
