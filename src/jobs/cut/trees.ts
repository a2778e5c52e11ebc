/** Objects as a body's tree has them: with no prototype. */
import type { Tree } from './tensors.ts'

export function nullPrototypes(tree: Tree): Tree {
  const copy: Tree = Object.create(null)
  for (const [key, value] of Object.entries(tree)) {
    const plain = typeof value === 'object' && value !== null && !Array.isArray(value)
    copy[key] = plain ? nullPrototypes(value as Tree) : value
  }
  return copy
}
