/** Objects as a body's tree has them: with no prototype. */
import type { Tree } from './subject.ts'

export function nullPrototypes(tree: Tree): Tree {
  return bare(tree) as Tree
}

function bare(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bare)
  if (typeof value !== 'object' || value === null) return value
  const copy: Tree = Object.create(null)
  for (const [key, member] of Object.entries(value)) copy[key] = bare(member)
  return copy
}
