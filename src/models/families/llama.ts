/**
 * Llama (Touvron et al. 2023) and what is written like it: Mistral, Qwen2, Qwen3. Norms before each part, RMS; SwiGLU; grouped queries;
 * rotary embeddings of halves.
 */
import { type ModelConfig, unsupported } from '../config.ts'
import type { Family, ModelSpec, Names } from '../family.ts'
import { Weights } from '../weights.ts'
import { gatedActivation } from './activations.ts'
import { ropeOf } from './rope.ts'

export const LLAMA_IGNORED = /rotary_emb\.inv_freq$|^lm_head\.weight$|^score\.|^classifier\.|^qa_outputs\./

export interface LlamaSizes {
  dModel: number
  layers: number
  heads: number
  kvHeads: number
  headDim: number
  hidden: number
  vocabulary: number
}

export function llamaSizes(config: ModelConfig): LlamaSizes {
  const dModel = config.count('hidden_size')
  const heads = config.count('num_attention_heads')
  return {
    dModel,
    heads,
    layers: config.count('num_hidden_layers'),
    kvHeads: config.count('num_key_value_heads', heads),
    headDim: config.count('head_dim', Math.floor(dModel / heads)),
    hidden: config.count('intermediate_size'),
    vocabulary: config.count('vocab_size'),
  }
}

/** The parts of a layer that all of them name alike, norms apart. */
export function llamaLayer(
  weights: Weights,
  layer: number,
  { dModel, heads, kvHeads, headDim, hidden }: LlamaSizes,
  bias: { qkv: boolean; o: boolean },
): void {
  const from = `model.layers.${layer}`
  const to = `layers.${layer}`
  const sides = { q: heads, k: kvHeads, v: kvHeads }
  for (const [side, count] of Object.entries(sides)) {
    const tensor = `${from}.self_attn.${side}_proj`
    weights.linear(`${to}.attention.w_${side}`, tensor, dModel, count * headDim, { bias: bias.qkv })
  }
  weights
    .linear(`${to}.attention.w_o`, `${from}.self_attn.o_proj`, heads * headDim, dModel, { bias: bias.o })
    .linear(`${to}.ffn.w_gate`, `${from}.mlp.gate_proj`, dModel, hidden, { bias: false })
    .linear(`${to}.ffn.w_1`, `${from}.mlp.up_proj`, dModel, hidden, { bias: false })
    .linear(`${to}.ffn.w_2`, `${from}.mlp.down_proj`, hidden, dModel, { bias: false })
}

/** A weight of its own where the configuration ties none and the file has one; a base model has none. */
export function llamaHead(
  config: ModelConfig,
  names: Names,
  weights: Weights,
  sizes: LlamaSizes,
  tied: boolean,
) {
  if (config.flag('tie_word_embeddings', tied))
    return { weight: 'embeddings.tokens', bias: false, factor: 1 } as const
  if (!names.has('lm_head.weight')) return undefined
  weights.table('head.weight', 'lm_head.weight', sizes.vocabulary, sizes.dModel)
  return { weight: 'head.weight', bias: false, factor: 1 } as const
}

/** Of `layer_types`, or what `pattern` says of a layer. */
export function isSliding(config: ModelConfig, layer: number, pattern: (layer: number) => boolean): boolean {
  const type = config.texts('layer_types')?.[layer]
  if (type === undefined) return pattern(layer)
  if (type === 'sliding_attention') return true
  if (type === 'full_attention') return false
  throw unsupported(`config.json: layer_types: ${type} is not supported`)
}

/** W keys with its own: those from i − W + 1 on. */
export function windowsOf(config: ModelConfig, layers: number, pattern: (layer: number) => boolean) {
  const kinds = Array.from({ length: layers }, (_, layer) => isSliding(config, layer, pattern))
  if (!kinds.includes(true)) return undefined
  const window = { left: config.count('sliding_window') - 1, right: null }
  return kinds.map(sliding => (sliding ? window : null))
}

function read(config: ModelConfig, names: Names): ModelSpec {
  const family = config.text('model_type')
  config.refuse('mlp_bias', false)
  config.refuse('pretraining_tp', 1)
  const sizes = llamaSizes(config)
  const { dModel, layers, heads, kvHeads, headDim, hidden, vocabulary } = sizes
  const bias = family === 'qwen2' ? { qkv: true, o: false } : both(config.flag('attention_bias', false))
  const weights = new Weights()
  weights.table('embeddings.tokens', 'model.embed_tokens.weight', vocabulary, dModel)
  for (let layer = 0; layer < layers; layer++) {
    const from = `model.layers.${layer}`
    weights.norm(`layers.${layer}.norm1`, `${from}.input_layernorm`, dModel, { bias: false })
    llamaLayer(weights, layer, sizes, bias)
    if (family === 'qwen3') {
      for (const side of ['q', 'k'] as const) {
        const name = `layers.${layer}.attention.${side}_norm`
        weights.norm(name, `${from}.self_attn.${side}_norm`, headDim, { bias: false })
      }
    }
    weights.norm(`layers.${layer}.norm2`, `${from}.post_attention_layernorm`, dModel, { bias: false })
  }
  weights.norm('final_norm', 'model.norm', dModel, { bias: false })
  const eps = config.number('rms_norm_eps', 1e-6)
  return {
    family,
    stack: {
      layers,
      heads,
      kv_heads: kvHeads,
      head_dim: headDim,
      d_ff: hidden,
      norm: 'pre',
      norm_kind: 'rms',
      norm_eps: eps,
      activation: gatedActivation(config.text('hidden_act', 'silu')),
      causal: true,
      rope: ropeOf(config),
      window: slidingOf(config, family, layers),
    },
    ...(family === 'qwen3' && { gainsEps: eps }),
    embeddings: { factor: 1, positions: 'none', types: false },
    head: llamaHead(config, names, weights, sizes, false),
    sizes: {
      layers,
      heads,
      kvHeads,
      dModel,
      headDim,
      vocabulary,
      maxLength: config.count('max_position_embeddings'),
    },
    weights,
  }
}

function both(bias: boolean) {
  return { qkv: bias, o: bias }
}

function slidingOf(config: ModelConfig, family: string, layers: number) {
  if (family === 'llama' || !config.has('sliding_window')) return undefined
  if (family === 'mistral') return windowsOf(config, layers, () => true)
  if (!config.flag('use_sliding_window', false)) return undefined
  const first = config.whole('max_window_layers', 28)
  return windowsOf(config, layers, layer => layer >= first)
}

export const llama: Family = {
  types: ['llama', 'mistral', 'qwen2', 'qwen3'],
  prefix: 'model.',
  ignored: LLAMA_IGNORED,
  read,
}
