/** What a model of the protocol is, and those that are endpoints of this server under other names. */
import { attention } from '../../endpoints/attention.ts'
import type { Compilable } from '../../endpoints/endpoint.ts'
import { multiHeadAttention } from '../../endpoints/multi-head-attention.ts'
import { transformer } from '../../endpoints/transformer.ts'
import { tensorPath } from '../../formats/body.ts'
import type { Fields } from '../../pipeline/encode.ts'
import type { Datatype } from './datatypes.ts'

/** Every model has this version alone. */
export const MODEL_VERSION = '1'

export interface TensorMetadata {
  name: string
  datatype: Datatype
  /** −1: any extent */
  shape: number[]
}

/** What an output that is asked for is in the program of its request. */
export interface OutputOf {
  /** the program's name of it */
  from: string
  /** what `return` of the request must name for it */
  returned?: string | undefined
  /** the layer it is of, where a request may choose layers: its program counts the chosen ones */
  layer?: number | undefined
}

/** How a request becomes a program. */
export interface Opened extends Disposable {
  compilable: Compilable
}

/** Where models come from beside the endpoints. */
export interface ModelSource {
  list(): Promise<InferenceModel[]>
  find(name: string): Promise<InferenceModel | undefined>
}

export interface InferenceModel {
  /** no slash in it, and not `stats` */
  readonly name: string
  readonly platform: string
  /** those that every request has */
  readonly inputs: TensorMetadata[]
  /** inputs that are no tensors, but texts (BYTES) */
  readonly texts: readonly string[]
  /** those that are answered where none is asked for */
  readonly outputs: TensorMetadata[]
  readonly properties: Record<string, string>
  /** why it cannot be used; '' where it can */
  readonly reason: string
  /** A model that must be loaded first is loaded here, unless the signal fires, and held until what it gives is disposed. */
  open(signal: AbortSignal): Opened | Promise<Opened>
  /** Of what an answer says beside its tensors: what it says here, as scalars. */
  told?(fields: Fields, inputs: Map<string, number[]>): Fields
  output(name: string): OutputOf
  /** Items of a request's batch, from the shapes of its inputs. */
  batch(shapes: Map<string, number[]>): number
}

const PLATFORM = 'attention-server_wasm'

function model(
  name: string,
  endpoint: Compilable,
  [inputs, outputs, rank]: [inputs: string[], outputs: string[], rank: number],
  optional: string,
): InferenceModel {
  const metadata = (tensor: string): TensorMetadata => ({
    name: tensor,
    datatype: 'FP32',
    shape: Array(rank).fill(-1),
  })
  return {
    name,
    platform: PLATFORM,
    inputs: inputs.map(metadata),
    texts: [],
    outputs: outputs.map(metadata),
    properties: {
      endpoint: `/v1/${name}`,
      optional_inputs: optional,
      further_outputs: 'whatever /v1 names in `return`; grads.* beside backward; layers.N.* of a stack',
      datatypes: 'FP64, FP32, FP16, BF16; masks BOOL too; lengths and positions INT32, INT64',
    },
    reason: '',
    open: () => ({ compilable: endpoint, [Symbol.dispose]() {} }),
    output: name => ({ from: name, returned: returnedBy(name) }),
    batch: shapes => batchOf(shapes, inputs[0], rank),
  }
}

const MASKS = 'mask, q_lengths, kv_lengths, sinks, …'

export const COMPUTE_MODELS: InferenceModel[] = [
  model(
    'attention',
    attention as Compilable,
    [['q', 'k', 'v'], ['output'], 4],
    `${MASKS}; backward.grad_output or backward.target; past_k, past_v; cu_seqlens_q, cu_seqlens_k; jvp.q, jvp.k, jvp.v`,
  ),
  model(
    'multi-head-attention',
    multiHeadAttention as Compilable,
    [['x'], ['output'], 3],
    `params.w_q, params.w_k, params.w_v, params.w_o (or init in parameter request); context; ${MASKS}; backward.*`,
  ),
  model(
    'transformer',
    transformer as Compilable,
    [['x'], ['output'], 3],
    `stack.params.layers.N.* (or init in stack in parameter request); context; ${MASKS}; past.layers.N.*; backward.*`,
  ),
]

/** `layers.0.weights` comes by `weights`, `grads.q` by itself. */
function returnedBy(output: string): string | undefined {
  const path = tensorPath(output)
  if (path[0] === 'grads') return undefined
  if (path[0] === 'jvp' || path[0] === 'encoder') path.shift()
  return path[0] === 'layers' ? path[2] : path[0]
}

/** The first of the axes, where there is one beside those of an item. */
function batchOf(shapes: Map<string, number[]>, input: string, rank: number): number {
  const packed = shapes.get('cu_seqlens_q')
  if (packed !== undefined) return Math.max(0, (packed[0] ?? 1) - 1)
  const shape = shapes.get(input) ?? []
  const items = rank === 4 ? [3, 4] : [3]
  return items.includes(shape.length) ? shape[0] : 1
}
