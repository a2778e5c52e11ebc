/** How an attention is cut: over the batch, and over the key heads, each with the query heads that read it. */
import { readTensor } from '../../formats/tensor.ts'
import { alibiSlopes } from '../../layers/attention/biases.ts'
import type { Axes } from './ranges.ts'
import type { NamedAxes, Subject, Taken, Tree } from './subject.ts'

export const attentionSubject: Subject = {
  over: 'bhg',
  lists: [],
  hindrance,
  inputs(tree, shapeAlone) {
    const q = readTensor(tree.q, shapeAlone)
    return inputAxes('message' in q ? 0 : q.shape.length, tree.layout)
  },
  extents({ tensors }) {
    const [q, k] = ['q', 'k'].map(name => tensors.find(({ path }) => path === name))
    const extent = (of: typeof q, axis: string) => of?.source.shape[of.axes.indexOf(axis)] ?? 1
    const kvHeads = Math.max(1, extent(k, 'g'))
    return { batch: extent(q, 'b'), kvHeads, group: extent(q, 'h') / kvHeads }
  },
  output: (name, { length }, taken) => outputAxes(name, length, rankOf(taken), taken.rest.layout),
  rest(rest, { kvHeads: [from, to] }, { kvHeads, group }) {
    // slopes that follow from the number of heads are those of the whole
    if (rest.alibi !== true) return rest
    return { ...rest, alibi: alibiSlopes(kvHeads * group).slice(from * group, to * group) }
  },
  shapes: tree => tree,
}

function rankOf({ tensors }: Taken): number {
  return tensors.find(({ path }) => path === 'q')?.source.shape.length ?? 0
}

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

/** Where tensors may stand in a request, with their axes: of `q` in this rank and layout; of others by their own rank. */
function inputAxes(rank: number, layout: unknown): NamedAxes[] {
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

function outputAxes(name: string, own: number, rank: number, layout: unknown): Axes | undefined {
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
function hindrance(tree: Tree): string | undefined {
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
