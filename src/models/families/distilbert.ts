/** DistilBERT (Sanh et al. 2019). */
import type { Family } from '../family.ts'
import { Weights } from '../weights.ts'
import { activation } from './activations.ts'
import { evenSizes, lastWeight, maskedHead } from './encoder.ts'

const EPS = 1e-12

export const distilbert: Family = {
  types: ['distilbert'],
  prefix: 'distilbert.',
  ignored: /position_ids$|^vocab_projector\.weight$|^pre_classifier\.|^classifier\.|^qa_outputs\./,
  read(config, names) {
    const dModel = config.count('dim', 768)
    const layers = config.count('n_layers', 6)
    const heads = config.count('n_heads', 12)
    const hidden = config.count('hidden_dim', 4 * dModel)
    const vocabulary = config.count('vocab_size')
    const positions = config.count('max_position_embeddings', 512)
    const act = activation(config.text('activation', 'gelu'))
    const weights = new Weights()
    const at = 'distilbert.embeddings'
    weights.table('embeddings.tokens', `${at}.word_embeddings.weight`, vocabulary, dModel)
    weights.table('embeddings.positions', `${at}.position_embeddings.weight`, positions, dModel)
    weights.norm('embeddings.norm', `${at}.LayerNorm`, dModel)
    for (let layer = 0; layer < layers; layer++) {
      const from = `distilbert.transformer.layer.${layer}`
      const to = `layers.${layer}`
      for (const side of ['q', 'k', 'v', 'o'] as const) {
        const name = side === 'o' ? 'out' : side
        weights.linear(`${to}.attention.w_${side}`, `${from}.attention.${name}_lin`, dModel, dModel)
      }
      weights
        .norm(`${to}.norm1`, `${from}.sa_layer_norm`, dModel)
        .linear(`${to}.ffn.w_1`, `${from}.ffn.lin1`, dModel, hidden)
        .linear(`${to}.ffn.w_2`, `${from}.ffn.lin2`, hidden, dModel)
        .norm(`${to}.norm2`, `${from}.output_layer_norm`, dModel)
    }
    const hasHead = names.has('vocab_transform.weight')
    if (hasHead) {
      weights.linear('head.w_dense', 'vocab_transform', dModel, dModel)
      weights.norm('head.norm', 'vocab_layer_norm', dModel)
      weights.vector('head.bias', 'vocab_projector.bias', vocabulary)
    }
    return {
      family: 'distilbert',
      stack: { layers, heads, d_ff: hidden, norm: 'post', norm_eps: EPS, activation: act },
      embeddings: { factor: 1, positions: 'absolute', types: false, norm: { eps: EPS } },
      ...(hasHead && {
        head: maskedHead(
          { activation: act, bias: true, eps: EPS },
          lastWeight(config, names, weights, 'vocab_projector.weight', { vocabulary, dModel }),
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
  },
}
