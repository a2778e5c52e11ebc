/**
 * Gemma 2 (2024) and Gemma 3's text models (2025): norms around each part, RMS, that multiply with 1 + weight; GeGLU; embeddings times √d;
 * windows in some layers.
 */
import type { ModelConfig } from '../config.ts'
import type { Family, ModelSpec, Names } from '../family.ts'
import { Weights } from '../weights.ts'
import { gatedActivation } from './activations.ts'
import { isSliding, LLAMA_IGNORED, llamaHead, llamaLayer, llamaSizes, windowsOf } from './llama.ts'
import { ropeOf } from './rope.ts'

const NORMS = {
  norm1: 'input_layernorm',
  norm2: 'post_attention_layernorm',
  norm3: 'pre_feedforward_layernorm',
  norm4: 'post_feedforward_layernorm',
}
const LOCAL_BASE = 10000
const GLOBAL_BASE = 1_000_000

function read(config: ModelConfig, names: Names): ModelSpec {
  config.refuse('use_bidirectional_attention', false)
  const third = config.text('model_type').startsWith('gemma3')
  const sizes = llamaSizes(config)
  const { dModel, layers, heads, kvHeads, hidden, vocabulary } = sizes
  sizes.headDim = config.count('head_dim', 256)
  const { headDim } = sizes
  const bias = config.flag('attention_bias', false)
  const weights = new Weights()
  const plain = { bias: false, shift: 1 }
  weights.table('embeddings.tokens', 'model.embed_tokens.weight', vocabulary, dModel)
  for (let layer = 0; layer < layers; layer++) {
    const from = `model.layers.${layer}`
    llamaLayer(weights, layer, sizes, { qkv: bias, o: bias })
    for (const [ours, theirs] of Object.entries(NORMS)) {
      weights.norm(`layers.${layer}.${ours}`, `${from}.${theirs}`, dModel, plain)
    }
    for (const side of third ? ['q', 'k'] : []) {
      weights.norm(`layers.${layer}.attention.${side}_norm`, `${from}.self_attn.${side}_norm`, headDim, plain)
    }
  }
  weights.norm('final_norm', 'model.norm', dModel, plain)
  const pattern = third ? config.count('sliding_window_pattern', 6) : 2
  const sliding = (layer: number) => (layer + 1) % pattern !== 0
  const eps = config.number('rms_norm_eps', 1e-6)
  const head = llamaHead(config, names, weights, sizes, true)
  const softcap =
    third || !config.has('final_logit_softcapping') ? undefined : config.number('final_logit_softcapping')
  return {
    family: third ? 'gemma3' : 'gemma2',
    stack: {
      layers,
      heads,
      kv_heads: kvHeads,
      head_dim: headDim,
      d_ff: hidden,
      norm: 'sandwich',
      norm_kind: 'rms',
      norm_eps: eps,
      activation: gatedActivation(activationName(config)),
      causal: true,
      rope: third ? ropes(config, layers, sliding) : ropeOf(config),
      window: windowsOf(config, layers, sliding),
      scale: config.number('query_pre_attn_scalar', 256) ** -0.5,
      ...(!third &&
        config.has('attn_logit_softcapping') && { softcap: config.number('attn_logit_softcapping') }),
    },
    ...(third && { gainsEps: eps }),
    embeddings: { factor: Math.sqrt(dModel), positions: 'none', types: false },
    head: head && { ...head, ...(softcap !== undefined && { softcap }) },
    sizes: {
      layers,
      heads,
      kvHeads,
      dModel,
      headDim,
      vocabulary,
      maxLength: config.count('max_position_embeddings', 8192),
    },
    weights,
  }
}

function activationName(config: ModelConfig): string {
  return config.has('hidden_activation')
    ? config.text('hidden_activation')
    : config.text('hidden_act', 'gelu_pytorch_tanh')
}

/** Layers with a window turn by frequencies of their own. */
function ropes(config: ModelConfig, layers: number, pattern: (layer: number) => boolean) {
  const newer = config.object('rope_parameters') !== undefined
  return Array.from({ length: layers }, (_, layer) => {
    const sliding = isSliding(config, layer, pattern)
    if (newer)
      return ropeOf(
        config,
        sliding ? 'sliding_attention' : 'full_attention',
        sliding ? LOCAL_BASE : GLOBAL_BASE,
      )
    return sliding
      ? { base: config.number('rope_local_base_freq', LOCAL_BASE) }
      : ropeOf(config, undefined, GLOBAL_BASE)
  })
}

export const gemma: Family = {
  types: ['gemma2', 'gemma3_text'],
  prefix: 'model.',
  ignored: new RegExp(`${LLAMA_IGNORED.source}|^(model\\.)?(vision_tower|multi_modal_projector)\\.`),
  read,
}
