/** What leaves a program that a request has become. */
import type { Ref } from '../../workers/contract.ts'
import type { Barrier } from '../program.ts'

export interface OutputTensor {
  /** `output`, `grads.q`, … */
  name: string
  buffer: Ref
  shape: number[]
  /** on the wire, where it is not the request's to choose */
  dtype?: 'uint8' | 'float64'
  /** a float64 a row: where it is finite or −∞ there is no NaN in the row */
  guide?: Ref | undefined
}

export interface OutputScalar {
  name: string
  /** a float64 buffer and the element that holds it */
  buffer: Ref
  index: number
}

/** What an answer says that is read from the program's float64 buffers when they have been computed. */
export type Report = (read: (buffer: Ref) => Float64Array) => Record<string, unknown>

/** What is complete at a barrier: a layer of a pass, or a token that a model has generated. */
export interface FramePlace {
  pass: 'forward' | 'backward' | 'generate'
  /** whose layer it is, where it is not the one stack's */
  stack?: 'encoder' | undefined
  /** which layer, or which token */
  layer: number
  /** of a token: whose text it follows */
  item?: number
}

/** A barrier at which something is complete, and the tensors that leave there; none where none was asked for. */
export interface Frame extends Barrier, FramePlace {
  outputs: OutputTensor[]
  /** what leaves beside tensors */
  report?: Report | undefined
}

/** A full map [batch, heads, queries, keys] that stays after the program has run, for its heads to be fetched. */
export interface KeptMap extends FramePlace {
  tensor: string
  buffer: Ref
  /** whether what is fetched has the axis batch */
  batched: boolean
  batch: number
  /** the heads it holds, in this order */
  heads: number[]
  queries: number
  keys: number
}

/** A term of a loss whose gradient the request gives: Σ value·gradient. */
export interface LossTerm {
  of: 'output' | 'weights' | 'logsumexp'
  value: Ref
  gradient: Ref
  /** of logsumexp [batch, heads, queries]: the rows from qLengths on are padding */
  rows?: { heads: number; queries: number } | undefined
  qLengths?: Ref | undefined
}
