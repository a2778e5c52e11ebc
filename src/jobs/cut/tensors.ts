/** The tensors of a request, each at its place, and everything else. */
import { isTree, tensorPath } from '../../formats/body.ts'
import { NumbersSpan, readTensor, TextSpan } from '../../formats/tensor.ts'
import { textOf } from '../../formats/text-field.ts'
import type { Placed, Subject, Taken, Tree } from './subject.ts'

/** Lists of numbers that are no tensors: those of a rope's scaling. */
const MOST_NUMBERS = 65536

/** Of a tree that its endpoint takes; `shapeAlone`: {"shape": […]} may stand for a tensor. */
export function takeTensors(subject: Subject, tree: Tree, shapeAlone: boolean): Taken {
  const tensors: Placed[] = []
  for (const [path, axes] of subject.inputs(tree, shapeAlone)) {
    const value = tensorPath(path).reduce<unknown>(
      (node, key) => (isTree(node) ? node[key] : undefined),
      tree,
    )
    if (value === undefined || typeof value === 'boolean') continue
    const source = readTensor(value, shapeAlone)
    if (!('message' in source)) tensors.push({ path, axes: axes(source.shape.length), source })
  }
  const taken = new Set(tensors.map(({ path }) => path))
  return { tensors, rest: without(tree, taken, '') }
}

function without(node: Tree, paths: Set<string>, below: string): Tree {
  const rest: Tree = {}
  for (const [key, value] of Object.entries(node)) {
    if (!paths.has(below + key)) rest[key] = plain(value, paths, `${below}${key}.`)
  }
  return rest
}

function plain(value: unknown, paths: Set<string>, below: string): unknown {
  if (isTree(value)) return without(value, paths, below)
  if (Array.isArray(value)) return value.map(item => plain(item, paths, below))
  if (value instanceof TextSpan) return textOf(value)
  return value instanceof NumbersSpan ? value.toArray(MOST_NUMBERS) : value
}

/** A request of shapes alone. */
export function withShapes(rest: Tree, tensors: { path: string; shape: number[]; dtype: string }[]): Tree {
  const tree = structuredClone(rest)
  for (const { path, shape, dtype } of tensors) {
    const keys = tensorPath(path)
    let node = tree
    for (const key of keys.slice(0, -1)) {
      node[key] ??= {}
      node = node[key] as Tree
    }
    node[keys[keys.length - 1]] = { shape, dtype }
  }
  return tree
}
