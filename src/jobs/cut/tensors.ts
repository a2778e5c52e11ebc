/** The tensors of an attention's request, each at its place, and everything else. */
import { isTree } from '../../formats/body.ts'
import { NumbersSpan, readTensor, type TensorSource } from '../../formats/tensor.ts'
import { type Axes, inputAxes } from './axes.ts'

export type Tree = Record<string, unknown>

export interface Placed {
  path: string
  axes: Axes
  source: TensorSource
}

/** Lists of numbers that are no tensors: those of a rope's scaling. */
const MOST_NUMBERS = 65536

export interface Taken {
  tensors: Placed[]
  /** as JSON has it */
  rest: Tree
  rank: number
  layout: unknown
}

/** Of a tree that its endpoint takes; `shapeAlone`: {"shape": […]} may stand for a tensor. */
export function takeTensors(tree: Tree, shapeAlone: boolean): Taken {
  const q = readTensor(tree.q, shapeAlone)
  const rank = 'message' in q ? 0 : q.shape.length
  const { layout } = tree
  const tensors: Placed[] = []
  for (const [path, axes] of inputAxes(rank, layout)) {
    const value = path.split('.').reduce<unknown>((node, key) => (isTree(node) ? node[key] : undefined), tree)
    if (value === undefined || typeof value === 'boolean') continue
    const source = readTensor(value, shapeAlone)
    if (!('message' in source)) tensors.push({ path, axes: axes(source.shape.length), source })
  }
  const taken = new Set(tensors.map(({ path }) => path))
  return { tensors, rest: without(tree, taken, ''), rank, layout }
}

function without(node: Tree, paths: Set<string>, below: string): Tree {
  const rest: Tree = {}
  for (const [key, value] of Object.entries(node)) {
    if (paths.has(below + key)) continue
    if (isTree(value)) rest[key] = without(value, paths, `${below}${key}.`)
    else rest[key] = value instanceof NumbersSpan ? value.toArray(MOST_NUMBERS) : value
  }
  return rest
}

/** A request of shapes alone. */
export function withShapes(rest: Tree, tensors: { path: string; shape: number[]; dtype: string }[]): Tree {
  const tree = structuredClone(rest)
  for (const { path, shape, dtype } of tensors) {
    const keys = path.split('.')
    let node = tree
    for (const key of keys.slice(0, -1)) {
      node[key] ??= {}
      node = node[key] as Tree
    }
    node[keys[keys.length - 1]] = { shape, dtype }
  }
  return tree
}
