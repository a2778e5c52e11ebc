/** A checkpoint and what its family says of it: which tensor of which file becomes which parameter, and where it will lie. */
import { product } from '../formats/tensor.ts'
import { tensorKinds } from '../formats/tensor-fields.ts'
import { type StackRequest, stack } from '../layers/stack-fields.ts'
import {
  type Checkpoint,
  readCheckpoint,
  type StoredTensor,
  TYPE_BYTES,
  typeOf,
  type WeightType,
} from './checkpoint.ts'
import { invalid, ModelConfig, unsupported } from './config.ts'
import * as families from './families/list.ts'
import type { Family, ModelSpec, StackOptions } from './family.ts'
import type { Weight } from './weights.ts'

export interface PlacedWeight extends Weight {
  /** of its bytes, from the beginning of the model's memory */
  offset: number
  /** the checkpoint's own name of its tensor */
  stored_as: string
  source: StoredTensor
}

export interface ModelPlan {
  name: string
  spec: ModelSpec
  checkpoint: Checkpoint
  /** by our names */
  weights: Map<string, PlacedWeight>
  stack: StackRequest
  encoderStack?: StackRequest
  /** of memory that its weights take */
  bytes: number
  parameters: number
  dtype: string
  /** most tokens, undefined where nothing bounds them */
  maxLength: number | undefined
}

/** Weights begin on a cache line. */
const ALIGN = 64
/** Transformers writes a huge number where a tokenizer knows no bound. */
const NO_BOUND = 1e9

const FAMILIES: Family[] = Object.values(families)
const STACK = stack(tensorKinds(false))

export const SUPPORTED = FAMILIES.flatMap(({ types }) => types).map(type => type.replace('_text', ''))

export async function planModel(name: string, folder: string): Promise<ModelPlan> {
  const checkpoint = await readCheckpoint(folder)
  const config = textConfig(checkpoint.config)
  const type = config.text('model_type')
  const family = FAMILIES.find(({ types }) => types.includes(type))
  if (family === undefined) {
    throw unsupported(`config.json: model_type ${type} is not supported (${SUPPORTED.join(', ')} are)`)
  }
  const find = finderOf(family, checkpoint.tensors)
  const spec = family.read(config, { has: tensor => find(tensor) !== undefined })
  const used = new Set<string>()
  const weights = new Map<string, PlacedWeight>()
  let bytes = 0
  for (const weight of spec.weights.list) {
    const found = find(weight.tensor)
    if (found === undefined) throw invalid(`expected the tensor ${weight.tensor}, got none of that name`)
    checkTensor(weight, found, checkpoint.tensors)
    used.add(found)
    const source = checkpoint.tensors.get(found) as StoredTensor
    weights.set(weight.name, { ...weight, offset: bytes, stored_as: found, source })
    bytes += Math.ceil((4 * product(weight.shape)) / ALIGN) * ALIGN
  }
  for (const tensor of checkpoint.tensors.keys()) {
    const short = tensor.startsWith(family.prefix) ? tensor.slice(family.prefix.length) : tensor
    if (used.has(tensor) || family.ignored.test(tensor) || family.ignored.test(short)) continue
    throw invalid(`expected no tensor ${tensor} in a model of type ${type}, got one`)
  }
  const sources = [...used].map(tensor => checkpoint.tensors.get(tensor) as StoredTensor)
  return {
    name,
    spec,
    checkpoint,
    weights,
    stack: stackOf(spec.stack),
    ...(spec.encoder && { encoderStack: stackOf(spec.encoder.stack) }),
    bytes,
    parameters: sources.reduce((sum, { shape }) => sum + product(shape), 0),
    dtype: typeOf(sources),
    maxLength: maxLengthOf(spec, checkpoint),
  }
}

/** Models with other kinds of input beside text have the text model's configuration in a field. */
function textConfig(config: ModelConfig): ModelConfig {
  const inner = config.object('text_config')
  if (inner === undefined || config.fields.model_type !== 'gemma3') return config
  return new ModelConfig({ model_type: 'gemma3_text', ...inner.fields })
}

/** Names with the prefix of the model or without it, and old names of norms. */
function finderOf({ prefix }: Family, tensors: ReadonlyMap<string, StoredTensor>) {
  return (name: string): string | undefined => {
    const short = name.startsWith(prefix) ? name.slice(prefix.length) : name
    const names = [name, short, `language_model.${name}`, `model.language_model.${short}`]
    const older = names.map(each => {
      return each
        .replace(/LayerNorm\.weight$/, 'LayerNorm.gamma')
        .replace(/LayerNorm\.bias$/, 'LayerNorm.beta')
    })
    return [...names, ...older].find(each => tensors.has(each))
  }
}

function checkTensor({ stored }: Weight, name: string, tensors: ReadonlyMap<string, StoredTensor>): void {
  const { shape, dtype } = tensors.get(name) as StoredTensor
  if (shape.length !== stored.length || shape.some((extent, axis) => extent !== stored[axis])) {
    throw invalid(`${name}: expected [${stored.join(', ')}] by config.json, got [${shape.join(', ')}]`)
  }
  if (TYPE_BYTES[dtype as WeightType] !== undefined) return
  throw unsupported(`${name}: dtype ${dtype} is not supported (F32, F16 and BF16 are)`)
}

function stackOf(options: StackOptions): StackRequest {
  const parsed = STACK.safeParse(options)
  if (parsed.success) return parsed.data
  const [{ path, message }] = parsed.error.issues
  throw unsupported(`config.json: what becomes the stack's ${path.join('.')} is not supported: ${message}`)
}

function maxLengthOf({ sizes }: ModelSpec, { tokenizerConfig }: Checkpoint): number | undefined {
  const said = tokenizerConfig.model_max_length
  const bounds = [sizes.maxLength, said].filter(
    bound => typeof bound === 'number' && bound > 0 && bound < NO_BOUND,
  )
  return bounds.length === 0 ? undefined : Math.min(...(bounds as number[]))
}
