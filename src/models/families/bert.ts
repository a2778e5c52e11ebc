/** BERT (Devlin et al. 2018) and RoBERTa (Liu et al. 2019), with the models that are written like them. */
import type { ModelConfig } from '../config.ts'
import type { Family, HeadSpec, ModelSpec, Names } from '../family.ts'
import { Weights } from '../weights.ts'
import { activation } from './activations.ts'
import { evenSizes, lastWeight, maskedHead } from './encoder.ts'

/** What differs between the two. */
interface Kind {
  prefix: string
  eps: number
  padded: boolean
  /** of the head, where it is not the layers' */
  headActivation?: string
  /** its tensors, below a name each */
  head: { dense: string; norm: string; decoder: string; biases: readonly [string, string] }
}

function read(config: ModelConfig, names: Names, kind: Kind): ModelSpec {
  config.refuse('position_embedding_type', 'absolute')
  config.refuse('is_decoder', false)
  config.refuse('add_cross_attention', false)
  const dModel = config.count('hidden_size')
  const layers = config.count('num_hidden_layers')
  const heads = config.count('num_attention_heads')
  const hidden = config.count('intermediate_size')
  const vocabulary = config.count('vocab_size')
  const positions = config.count('max_position_embeddings')
  const types = config.whole('type_vocab_size', 2)
  const eps = config.number('layer_norm_eps', kind.eps)
  const act = activation(config.text('hidden_act', 'gelu'))
  const padding = config.whole('pad_token_id', kind.padded ? 1 : 0)
  const weights = new Weights()
  const at = `${kind.prefix}embeddings`
  weights.table('embeddings.tokens', `${at}.word_embeddings.weight`, vocabulary, dModel)
  weights.table('embeddings.positions', `${at}.position_embeddings.weight`, positions, dModel)
  if (types > 0) weights.table('embeddings.types', `${at}.token_type_embeddings.weight`, types, dModel)
  weights.norm('embeddings.norm', `${at}.LayerNorm`, dModel)
  for (let layer = 0; layer < layers; layer++) {
    const from = `${kind.prefix}encoder.layer.${layer}`
    const to = `layers.${layer}`
    weights
      .linear(`${to}.attention.w_q`, `${from}.attention.self.query`, dModel, dModel)
      .linear(`${to}.attention.w_k`, `${from}.attention.self.key`, dModel, dModel)
      .linear(`${to}.attention.w_v`, `${from}.attention.self.value`, dModel, dModel)
      .linear(`${to}.attention.w_o`, `${from}.attention.output.dense`, dModel, dModel)
      .norm(`${to}.norm1`, `${from}.attention.output.LayerNorm`, dModel)
      .linear(`${to}.ffn.w_1`, `${from}.intermediate.dense`, dModel, hidden)
      .linear(`${to}.ffn.w_2`, `${from}.output.dense`, hidden, dModel)
      .norm(`${to}.norm2`, `${from}.output.LayerNorm`, dModel)
  }
  const head = readHead(config, names, weights, kind, { dModel, vocabulary, activation: act, eps })
  return {
    family: config.text('model_type'),
    stack: { layers, heads, d_ff: hidden, norm: 'post', norm_eps: eps, activation: act },
    embeddings: {
      factor: 1,
      positions: kind.padded ? { padded: padding } : 'absolute',
      types: types > 0,
      norm: { eps },
    },
    ...(head !== undefined && { head }),
    sizes: evenSizes({
      layers,
      heads,
      dModel,
      vocabulary,
      maxLength: kind.padded ? positions - padding - 1 : positions,
    }),
    weights,
  }
}

/** Of a masked language model; a base model has none. */
function readHead(
  config: ModelConfig,
  names: Names,
  weights: Weights,
  { head, headActivation }: Kind,
  {
    dModel,
    vocabulary,
    activation,
    eps,
  }: { dModel: number; vocabulary: number; activation: string; eps: number },
): HeadSpec | undefined {
  if (!names.has(`${head.dense}.weight`)) return undefined
  weights.linear('head.w_dense', head.dense, dModel, dModel)
  weights.norm('head.norm', head.norm, dModel)
  const weight = lastWeight(config, names, weights, `${head.decoder}.weight`, { dModel, vocabulary })
  // a product of its own has a bias of its own; else the two are one, and either may be in the file
  const [first, second] = weight === 'head.weight' ? head.biases.toReversed() : head.biases
  weights.vector('head.bias', names.has(first) ? first : second, vocabulary)
  return maskedHead({ activation: headActivation ?? activation, bias: true, eps }, weight)
}

const BERT: Kind = {
  prefix: 'bert.',
  eps: 1e-12,
  padded: false,
  head: {
    dense: 'cls.predictions.transform.dense',
    norm: 'cls.predictions.transform.LayerNorm',
    decoder: 'cls.predictions.decoder',
    biases: ['cls.predictions.bias', 'cls.predictions.decoder.bias'],
  },
}

const ROBERTA: Kind = {
  prefix: 'roberta.',
  eps: 1e-5,
  padded: true,
  headActivation: 'gelu',
  head: {
    dense: 'lm_head.dense',
    norm: 'lm_head.layer_norm',
    decoder: 'lm_head.decoder',
    biases: ['lm_head.bias', 'lm_head.decoder.bias'],
  },
}

const IGNORED = String.raw`position_ids$|token_type_ids$|pooler\.|^cls\.seq_relationship|^classifier\.|^qa_outputs\.|^dropout\.`

export const bert: Family = {
  types: ['bert'],
  prefix: BERT.prefix,
  ignored: new RegExp(`${IGNORED}|^cls\\.predictions\\.(decoder\\.|bias)`),
  read: (config, names) => read(config, names, BERT),
}

export const roberta: Family = {
  types: ['roberta', 'xlm-roberta', 'camembert'],
  prefix: ROBERTA.prefix,
  ignored: new RegExp(`${IGNORED}|^lm_head\\.(decoder\\.|bias)`),
  read: (config, names) => read(config, names, ROBERTA),
}
