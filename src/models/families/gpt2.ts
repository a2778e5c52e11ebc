/** GPT-2 (Radford et al. 2019). Its matrices are Conv1D's, [d_in, d_out]; q, k and v stand side by side in one. */
import type { Family } from '../family.ts'
import { Weights } from '../weights.ts'
import { activation } from './activations.ts'
import { evenSizes } from './encoder.ts'

export const gpt2: Family = {
  types: ['gpt2'],
  prefix: 'transformer.',
  ignored: /\.attn\.(masked_)?bias$|^lm_head\.weight$|^score\.|^classifier\./,
  read(config, names) {
    config.refuse('scale_attn_by_inverse_layer_idx', false)
    config.refuse('add_cross_attention', false)
    const dModel = config.count('n_embd')
    const layers = config.count('n_layer')
    const heads = config.count('n_head')
    const hidden = config.count('n_inner', 4 * dModel)
    const vocabulary = config.count('vocab_size')
    const positions = config.count('n_positions', 1024)
    const scaled = config.flag('scale_attn_weights', true)
    const tied = config.flag('tie_word_embeddings', true) || !names.has('lm_head.weight')
    const weights = new Weights()
    weights.table('embeddings.tokens', 'transformer.wte.weight', vocabulary, dModel)
    weights.table('embeddings.positions', 'transformer.wpe.weight', positions, dModel)
    for (let layer = 0; layer < layers; layer++) {
      const from = `transformer.h.${layer}`
      const to = `layers.${layer}`
      const upright = true
      weights.norm(`${to}.norm1`, `${from}.ln_1`, dModel)
      for (const [index, side] of ['q', 'k', 'v'].entries()) {
        const part = { upright, of: 3 * dModel, from: index * dModel }
        weights.linear(`${to}.attention.w_${side}`, `${from}.attn.c_attn`, dModel, dModel, part)
      }
      weights
        .linear(`${to}.attention.w_o`, `${from}.attn.c_proj`, dModel, dModel, { upright })
        .norm(`${to}.norm2`, `${from}.ln_2`, dModel)
        .linear(`${to}.ffn.w_1`, `${from}.mlp.c_fc`, dModel, hidden, { upright })
        .linear(`${to}.ffn.w_2`, `${from}.mlp.c_proj`, hidden, dModel, { upright })
    }
    weights.norm('final_norm', 'transformer.ln_f', dModel)
    if (!tied) weights.table('head.weight', 'lm_head.weight', vocabulary, dModel)
    return {
      family: 'gpt2',
      stack: {
        layers,
        heads,
        d_ff: hidden,
        norm: 'pre',
        norm_eps: config.number('layer_norm_epsilon', 1e-5),
        activation: activation(config.text('activation_function', 'gelu_new')),
        causal: true,
        ...(!scaled && { scale: 1 }),
      },
      embeddings: { factor: 1, positions: 'absolute', types: false },
      head: { weight: tied ? 'embeddings.tokens' : 'head.weight', bias: false, factor: 1 },
      sizes: evenSizes({
        layers,
        heads,
        dModel,
        vocabulary,
        maxLength: positions,
      }),
      weights,
    }
  },
}
