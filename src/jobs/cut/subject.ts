/** What a cut knows of an endpoint: what may be cut of its requests, and along which axes. */
import type { TensorSource } from '../../formats/tensor.ts'
import type { Part } from './part.ts'
import type { Axes } from './ranges.ts'

export type Tree = Record<string, unknown>

export interface Placed {
  /** as safetensors has it */
  path: string
  axes: Axes
  source: TensorSource
}

/** The tensors of a request, each at its place, and everything else. */
export interface Taken {
  tensors: Placed[]
  /** as JSON has it */
  rest: Tree
}

/** A tensor by its name in safetensors, and its axes by its rank. */
export type NamedAxes = [name: string, axes: (rank: number) => Axes]

/** How much there is to cut. */
export interface Extents {
  batch: number
  kvHeads: number
  /** query heads of one key head */
  group: number
}

export interface Subject {
  /** axes that can be cut */
  over: Axes
  /** fields of its answer that are lists, or objects of lists, with an entry an item of the batch */
  lists: readonly string[]
  /** Why it cannot be cut, whatever its shapes. */
  hindrance(tree: Tree): string | undefined
  /** Where tensors may stand in it. */
  inputs(tree: Tree, shapeAlone: boolean): NamedAxes[]
  extents(taken: Taken): Extents
  /** Of a tensor of the answer; '' is the same in every part. Undefined: it is none that can be put together of parts. */
  output(name: string, shape: number[], taken: Taken): Axes | undefined
  /** What a part's request says beside its tensors. */
  rest(rest: Tree, part: Part, whole: Extents): Tree
  /** The request that is compiled to know what a part takes. */
  shapes(tree: Tree, part: Part): Tree
}
