/** What a part has of a tensor: ranges of its axes, and where these stand in the whole. */
import type { Part } from './part.ts'

/** A letter an axis: b is the batch, h query heads, g key heads; anything else is never cut. */
export type Axes = string

/** The range of an axis that a part has; undefined: all of it. An axis of 1 is for all. */
export function rangeOf(
  axis: string,
  extent: number,
  part: Part,
  group: number,
): [number, number] | undefined {
  if (extent === 1) return undefined
  if (axis === 'b') return part.batch
  if (axis === 'g') return part.kvHeads
  if (axis === 'h') return [part.kvHeads[0] * group, part.kvHeads[1] * group]
  return undefined
}

/** What a part has of a tensor. */
export function shapeIn(shape: number[], axes: Axes, part: Part, group: number): number[] {
  return shape.map((extent, at) => {
    const [from, to] = rangeOf(axes[at], extent, part, group) ?? [0, extent]
    return to - from
  })
}

/** Where it stands in the whole: runs of elements, in order. */
export function* runsOf(
  shape: number[],
  axes: Axes,
  part: Part,
  group: number,
): Generator<{ from: number; count: number }> {
  const ranges = shape.map((extent, at) => rangeOf(axes[at], extent, part, group) ?? [0, extent])
  // the last axis of which not all is taken: what follows it is in one piece
  let inner = shape.length - 1
  while (inner > 0 && ranges[inner][0] === 0 && ranges[inner][1] === shape[inner]) inner--
  const below = shape.slice(inner + 1).reduce((product, extent) => product * extent, 1)
  const [from, to] = ranges[inner] ?? [0, 1]
  const walk = function* (at: number, offset: number): Generator<{ from: number; count: number }> {
    if (at >= inner) {
      const start = shape.length === 0 ? 0 : offset * shape[inner] + from
      yield { from: start * below, count: (to - from) * below }
      return
    }
    for (let index = ranges[at][0]; index < ranges[at][1]; index++)
      yield* walk(at + 1, offset * shape[at] + index)
  }
  yield* walk(0, 0)
}
