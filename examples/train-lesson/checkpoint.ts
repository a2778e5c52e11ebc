/** The trained model as a folder of the form that save_pretrained writes: BERT with a masked-word head, in float16. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Parameters, transposed } from './maths.ts'
import { EPS, type Network, SIZES } from './network.ts'
import { PAD, SPECIAL, type Tokenizer } from './vocabulary.ts'

/** The service's names → those of a checkpoint. */
const NAMES: Record<string, string> = {
  'embeddings.tokens': 'bert.embeddings.word_embeddings.weight',
  'embeddings.positions': 'bert.embeddings.position_embeddings.weight',
  'embeddings.gamma': 'bert.embeddings.LayerNorm.weight',
  'embeddings.beta': 'bert.embeddings.LayerNorm.bias',
  'head.w_dense': 'cls.predictions.transform.dense.weight',
  'head.b_dense': 'cls.predictions.transform.dense.bias',
  'head.gamma': 'cls.predictions.transform.LayerNorm.weight',
  'head.beta': 'cls.predictions.transform.LayerNorm.bias',
  'head.bias': 'cls.predictions.bias',
}
const PARTS: Record<string, string> = {
  'attention.w_q': 'attention.self.query.weight',
  'attention.b_q': 'attention.self.query.bias',
  'attention.w_k': 'attention.self.key.weight',
  'attention.b_k': 'attention.self.key.bias',
  'attention.w_v': 'attention.self.value.weight',
  'attention.b_v': 'attention.self.value.bias',
  'attention.w_o': 'attention.output.dense.weight',
  'attention.b_o': 'attention.output.dense.bias',
  'norm1.gamma': 'attention.output.LayerNorm.weight',
  'norm1.beta': 'attention.output.LayerNorm.bias',
  'ffn.w_1': 'intermediate.dense.weight',
  'ffn.b_1': 'intermediate.dense.bias',
  'ffn.w_2': 'output.dense.weight',
  'ffn.b_2': 'output.dense.bias',
  'norm2.gamma': 'output.LayerNorm.weight',
  'norm2.beta': 'output.LayerNorm.bias',
}

function nameOf(own: string): string {
  const [, layer, part] = /^stack\.layers\.(\d+)\.(.+)$/.exec(own) ?? []
  return layer === undefined ? NAMES[own] : `bert.encoder.layer.${layer}.${PARTS[part]}`
}

export function writeCheckpoint(folder: string, { parameters }: Network, tokenizer: Tokenizer): void {
  mkdirSync(folder, { recursive: true })
  const write = (name: string, content: object) =>
    writeFileSync(join(folder, name), `${JSON.stringify(content, undefined, 1)}\n`)
  write('config.json', {
    architectures: ['BertForMaskedLM'],
    model_type: 'bert',
    hidden_act: 'relu',
    hidden_size: SIZES.dModel,
    intermediate_size: SIZES.hidden,
    layer_norm_eps: EPS,
    max_position_embeddings: SIZES.positions,
    num_attention_heads: SIZES.heads,
    num_hidden_layers: SIZES.layers,
    pad_token_id: PAD,
    torch_dtype: 'float16',
    type_vocab_size: 2,
    vocab_size: tokenizer.vocabulary.length,
  })
  write('tokenizer.json', tokenizer.file())
  const [pad_token, unk_token, cls_token, sep_token, mask_token] = SPECIAL
  write('tokenizer_config.json', {
    tokenizer_class: 'PreTrainedTokenizerFast',
    model_max_length: SIZES.positions,
    pad_token,
    unk_token,
    cls_token,
    sep_token,
    mask_token,
  })
  const tensors = Object.entries(parameters).map(([name, { shape, data }]) => {
    const values = isTurned(name, shape) ? transposed(data, shape[1]) : data
    return { name: nameOf(name), shape: isTurned(name, shape) ? shape.toReversed() : shape, values }
  })
  // a text and its pair are one text to this model
  const types = { shape: [2, SIZES.dModel], values: new Float32Array(2 * SIZES.dModel) }
  tensors.push({ name: 'bert.embeddings.token_type_embeddings.weight', ...types })
  writeFileSync(join(folder, 'model.safetensors'), fileOf(tensors))
}

/** Puts the weights of a folder into parameters of the same shapes. */
export function readCheckpoint(folder: string, parameters: Parameters): void {
  const file = readFileSync(join(folder, 'model.safetensors'))
  const begin = 8 + Number(file.readBigUInt64LE())
  const header = JSON.parse(file.toString('utf8', 8, begin))
  for (const [name, { shape, data }] of Object.entries(parameters)) {
    const [from, to] = header[nameOf(name)].data_offsets
    const stored = Float32Array.from(
      new Float16Array(new Uint8Array(file.subarray(begin + from, begin + to)).buffer),
    )
    data.set(isTurned(name, shape) ? transposed(stored, shape[0]) : stored)
  }
}

/** Matrices of the service are [d_in, d_out], those of a checkpoint the other way round; tables are rows in both. */
function isTurned(name: string, shape: number[]): boolean {
  return shape.length === 2 && !name.startsWith('embeddings.')
}

function fileOf(tensors: { name: string; shape: number[]; values: Float32Array }[]): Uint8Array {
  const header: Record<string, object> = { __metadata__: { format: 'pt' } }
  let end = 0
  for (const { name, shape, values } of tensors) {
    header[name] = { dtype: 'F16', shape, data_offsets: [end, end + 2 * values.length] }
    end += 2 * values.length
  }
  const text = Buffer.from(JSON.stringify(header))
  const padded = Buffer.concat([text, Buffer.alloc(-text.length & 7, ' ')])
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  const bytes = tensors.map(({ values }) => new Uint8Array(Float16Array.from(values).buffer))
  return Buffer.concat([length, padded, ...bytes])
}
