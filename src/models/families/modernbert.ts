/** ModernBERT (Warner et al. 2024): norms before each part (none before the first attention), GeGLU, windows in most layers. */
import type { ModelConfig } from '../config.ts'
import type { Family, ModelSpec, Names } from '../family.ts'
import { Weights } from '../weights.ts'
import { activation, gatedActivation } from './activations.ts'
import { evenSizes, lastWeight, maskedHead } from './encoder.ts'
import { isSliding } from './llama.ts'
import { ropeOf } from './rope.ts'

function read(config: ModelConfig, names: Names): ModelSpec {
  config.refuse('mlp_bias', false)
  const dModel = config.count('hidden_size')
  const layers = config.count('num_hidden_layers')
  const heads = config.count('num_attention_heads')
  const hidden = config.count('intermediate_size')
  const vocabulary = config.count('vocab_size')
  const positions = config.count('max_position_embeddings', 8192)
  const eps = config.number('norm_eps', 1e-5)
  const bias = config.flag('norm_bias', false)
  const attentionBias = { bias: config.flag('attention_bias', false) }
  const every = config.count('global_attn_every_n_layers', 3)
  const sliding = (layer: number) => isSliding(config, layer, at => at % every !== 0)
  const half = Math.floor(config.count('local_attention', 128) / 2)
  const weights = new Weights()
  weights.table('embeddings.tokens', 'model.embeddings.tok_embeddings.weight', vocabulary, dModel)
  weights.norm('embeddings.norm', 'model.embeddings.norm', dModel, { bias })
  for (let layer = 0; layer < layers; layer++) {
    const from = `model.layers.${layer}`
    const to = `layers.${layer}`
    if (layer > 0) weights.norm(`${to}.norm1`, `${from}.attn_norm`, dModel, { bias })
    for (const [index, side] of ['q', 'k', 'v'].entries()) {
      const part = { ...attentionBias, of: 3 * dModel, from: index * dModel }
      weights.linear(`${to}.attention.w_${side}`, `${from}.attn.Wqkv`, dModel, dModel, part)
    }
    // theirs is act(first half) ⊙ second half
    const part = { bias: false, of: 2 * hidden }
    weights
      .linear(`${to}.attention.w_o`, `${from}.attn.Wo`, dModel, dModel, attentionBias)
      .norm(`${to}.norm2`, `${from}.mlp_norm`, dModel, { bias })
      .linear(`${to}.ffn.w_gate`, `${from}.mlp.Wi`, dModel, hidden, part)
      .linear(`${to}.ffn.w_1`, `${from}.mlp.Wi`, dModel, hidden, { ...part, from: hidden })
      .linear(`${to}.ffn.w_2`, `${from}.mlp.Wo`, hidden, dModel, { bias: false })
  }
  weights.norm('final_norm', 'model.final_norm', dModel, { bias })
  // a classifier has a layer of the same name before it
  const hasHead = names.has('head.dense.weight') && !names.has('classifier.weight')
  const lastBias = config.flag('decoder_bias', true)
  const headBias = config.flag('classifier_bias', false)
  if (hasHead) {
    weights.linear('head.w_dense', 'head.dense', dModel, dModel, { bias: headBias })
    weights.norm('head.norm', 'head.norm', dModel, { bias })
    if (lastBias) weights.vector('head.bias', 'decoder.bias', vocabulary)
  }
  return {
    family: 'modernbert',
    stack: {
      layers,
      heads,
      d_ff: hidden,
      norm: 'pre',
      norm_eps: eps,
      activation: gatedActivation(config.text('hidden_activation', 'gelu')),
      rope: Array.from({ length: layers }, (_, layer) => ropeOfLayer(config, sliding(layer))),
      window: Array.from({ length: layers }, (_, layer) =>
        sliding(layer) ? { left: half, right: half } : null,
      ),
    },
    identities: ['layers.0.norm1'],
    embeddings: { factor: 1, positions: 'none', types: false, norm: { eps } },
    ...(hasHead && {
      head: maskedHead(
        { activation: activation(config.text('classifier_activation', 'gelu')), bias: headBias, eps },
        lastWeight(config, names, weights, 'decoder.weight', { vocabulary, dModel }),
        lastBias,
      ),
    }),
    sizes: evenSizes({
      layers,
      heads,
      dModel,
      vocabulary,
      maxLength: positions,
    }),
    weights,
  }
}

function ropeOfLayer(config: ModelConfig, sliding: boolean) {
  if (config.object('rope_parameters') !== undefined) {
    return ropeOf(config, sliding ? 'sliding_attention' : 'full_attention', sliding ? 10000 : 160000)
  }
  return {
    base: sliding ? config.number('local_rope_theta', 10000) : config.number('global_rope_theta', 160000),
  }
}

export const modernbert: Family = {
  types: ['modernbert'],
  prefix: 'model.',
  ignored: /^decoder\.weight$|^classifier\.|^head\.|inv_freq$/,
  read,
}
