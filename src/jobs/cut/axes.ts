/** Which axes of an attention's tensors run over the batch, the query heads and the key heads: along these a request can be cut. */
import type { Part } from './part.ts'

/** b: batch, h: query heads, g: key heads; anything else is never cut. */
export type Axes = string

/** Fields beside tensors with which what is computed of a head does not depend on other heads or items. */
const PLAIN = [
  'attention_kind',
  'causal',
  'encoding',
  'layout',
  'non_finite',
  'output_dtype',
  'precision',
  'qk_norm',
  'return',
  'scale',
  'softcap',
  'window',
]
/** Kinds that treat every head alike. */
const KINDS = ['softmax', 'local', 'strided', 'block']

type Tree = Record<string, unknown>

export interface Tensor {
  path: string[]
  axes: Axes
}

/** Where tensors may stand in a request, with their axes: of `q` in this rank and layout; of others by their own rank. */
export function inputAxes(rank: number, layout: unknown): [path: string, axes: (rank: number) => Axes][] {
  const { ofQ, ofK, map, rows } = named(rank, layout)
  const always = (axes: Axes) => () => axes
  const aligned = (axes: Axes) => (own: number) => axes.slice(-own)
  return [
    ['q', always(ofQ)],
    ['k', always(ofK)],
    ['v', always(ofK)],
    ['past_k', always(ofK)],
    ['past_v', always(ofK)],
    ['mask', aligned(map)],
    ['q_lengths', always('b')],
    ['kv_lengths', always('b')],
    ['prefix_lengths', always('b')],
    ['segments.q', always('bn')],
    ['segments.kv', always('bm')],
    ['alibi', always('h')],
    ['sinks', always('h')],
    ['relative_bias.table', always('xh')],
    ['rope.frequencies', always('x')],
    ['rope.q_positions', aligned('bn')],
    ['rope.k_positions', aligned('bm')],
    ['backward.grad_output', always(ofQ)],
    ['backward.target', always(ofQ)],
    ['backward.grad_weights', always(map)],
    ['backward.grad_logsumexp', always(rows)],
    ['jvp.q', always(ofQ)],
    ['jvp.k', always(ofK)],
    ['jvp.v', always(ofK)],
    ['jvp.mask', aligned(map)],
    ['jvp.sinks', always('h')],
  ]
}

/** The axes of a tensor of the answer; undefined where it is none that can be put together of parts. */
export function outputAxes(name: string, own: number, rank: number, layout: unknown): Axes | undefined {
  const { ofQ, ofK, map, rows, heads } = named(rank, layout)
  const known: Record<string, Axes> = {
    output: ofQ,
    weights: map,
    scores: map,
    masked_scores: map,
    softcapped_scores: map,
    dropped_weights: map,
    logsumexp: rows,
    entropy: rows,
    max_score: heads,
    present_k: ofK,
    present_v: ofK,
  }
  if (name in known) return known[name]
  const [kind, ...path] = name.split('.')
  if (kind === 'jvp') return known[path.join('.')]
  if (kind !== 'grads') return undefined
  return inputAxes(rank, layout).find(([input]) => input === path.join('.'))?.[1](own)
}

function named(rank: number, layout: unknown) {
  if (rank < 3) return { ofQ: 'nd', ofK: 'md', map: 'nm', rows: 'n', heads: '' }
  if (rank < 4) return { ofQ: 'bnd', ofK: 'bmd', map: 'bnm', rows: 'bn', heads: 'b' }
  const first = layout === 'bnhd' ? ['bnhd', 'bmgd'] : ['bhnd', 'bgmd']
  return { ofQ: first[0], ofK: first[1], map: 'bhnm', rows: 'bhn', heads: 'bh' }
}

/** Why it cannot be cut, whatever its shapes; undefined where it can. */
export function hindrance(tree: Tree): string | undefined {
  const tensors = inputAxes(4, undefined).map(([path]) => path.split('.')[0])
  const other = Object.keys(tree).find(name => !PLAIN.includes(name) && !tensors.includes(name))
  if (other !== undefined) return `\`${other}\` needs all of it`
  const { attention_kind: kind = 'softmax', backward = {}, rope = {} } = tree as Record<string, Tree | string>
  const name = typeof kind === 'string' ? kind : kind.kind
  if (!KINDS.includes(name as string)) return `attention_kind ${name} is not the same for every head`
  if ((backward as Tree).entropy_weight !== undefined) return '`entropy_weight` is a mean over all of it'
  if ((rope as Tree).scaling !== undefined && (rope as Tree).q_positions !== undefined) {
    return '`rope.scaling` looks at all positions'
  }
  return undefined
}

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
