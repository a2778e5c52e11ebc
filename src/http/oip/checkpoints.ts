/** The checkpoints of MODELS_DIR as models of the protocol: loaded when one is first used, held while a request needs it. */
import type { Compilable } from '../../endpoints/endpoint.ts'
import { modelForward } from '../../endpoints/models/endpoint.ts'
import { holdModel } from '../../endpoints/models/held.ts'
import { product } from '../../formats/tensor.ts'
import type { BrokenModel, ModelDescription, ModelStore } from '../../models/store.ts'
import type { Fields } from '../../pipeline/encode.ts'
import { Problem } from '../../problem.ts'
import type { InferenceModel, ModelSource, Opened, OutputOf } from './models.ts'

export class Checkpoints implements ModelSource {
  readonly #store: ModelStore

  constructor(store: ModelStore) {
    this.#store = store
  }

  async list(): Promise<InferenceModel[]> {
    const found = await this.#store.list()
    return found.map(each => this.#model(each))
  }

  async find(name: string): Promise<InferenceModel | undefined> {
    try {
      return this.#model(await this.#store.describe(name))
    } catch (error) {
      if (error instanceof Problem && error.code === 'MODEL_NOT_FOUND') return undefined
      throw error
    }
  }

  #model(of: ModelDescription | BrokenModel): InferenceModel {
    const { name } = of
    const about = 'problem' in of ? {} : propertiesOf(of)
    return {
      name,
      platform: 'huggingface_safetensors',
      inputs: [{ name: 'token_ids', datatype: 'INT64', shape: [-1, -1] }],
      texts: TEXTS,
      outputs: [
        {
          name: 'last_hidden_state',
          datatype: 'FP32',
          shape: [-1, -1, 'problem' in of ? -1 : of.d_model],
        },
      ],
      properties: about,
      reason: 'problem' in of ? of.problem.detail : '',
      open: signal => this.#open(name, signal),
      output: outputOf,
      told,
      batch: shapes => {
        const texts = shapes.get('text')
        if (texts !== undefined) return product(texts)
        const shape = shapes.get('token_ids') ?? []
        return shape.length === 2 ? shape[0] : 1
      },
    }
  }

  async #open(name: string, signal: AbortSignal): Promise<Opened> {
    const held = await holdModel(this.#store, name, signal)
    return {
      compilable: modelForward(held.model) as Compilable,
      [Symbol.dispose]: () => held[Symbol.dispose](),
    }
  }
}

const TEXTS = ['text', 'text_pair']

function propertiesOf(of: ModelDescription): Record<string, string> {
  const { family, layers, heads, vocabulary, parameters, dtype } = of
  const numbers = { layers, heads, vocabulary, parameters }
  const written = Object.entries(numbers).map(([name, value]) => [name, String(value)])
  return {
    endpoint: `/v1/models/${of.name}/forward`,
    family,
    dtype,
    ...Object.fromEntries(written),
    optional_inputs:
      'attention_mask, token_type_ids; in place of token_ids text (BYTES [N]), with text_pair (BYTES [N])',
    further_outputs:
      'weights.N and other maps of layer N, hidden.N, embedding, logits; grads.* beside backward',
  }
}

/** Of a layer's attention, behind which a number stands. */
const OF_LAYER = /^((?:cross_)?[a-z_]+)\.(\d+)$/

/** `last_hidden_state` is `output` there, `weights.3` stands at `layers.3.weights`. */
function outputOf(name: string): OutputOf {
  const encoder = name.startsWith('encoder.') ? 'encoder.' : ''
  const own = name.slice(encoder.length)
  if (own === 'last_hidden_state') return { from: `${encoder}output`, returned: 'output' }
  const [, map, layer] = OF_LAYER.exec(own) ?? []
  if (map === 'hidden') return { from: name, returned: 'hidden' }
  if (map !== undefined)
    return { from: `${encoder}layers.${layer}.${map}`, returned: map, layer: Number(layer) }
  const [head] = own.split('.')
  return { from: name, returned: head === 'grads' || head === 'layers' ? undefined : head }
}

/** Of what is told beside tensors: tokens where a text was given, and what was asked for; nested things as JSON text. */
function told(fields: Fields, inputs: Map<string, number[]>): Fields {
  const kept = Object.entries(fields).filter(([name]) => {
    return name === 'tokens' ? !inputs.has('token_ids') : !/\.index$/.test(name)
  })
  const written = kept.map(([name, value]) => [
    name,
    typeof value === 'object' ? JSON.stringify(value) : value,
  ])
  return Object.fromEntries(written)
}
