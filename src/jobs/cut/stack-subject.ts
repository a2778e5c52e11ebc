/** How a stack is cut: over the batch. */
import { isTree } from '../../formats/body.ts'
import type { NamedAxes, Subject, Tree } from './subject.ts'

/** Fields beside tensors with which what is computed of an item does not depend on other items. */
const PLAIN = [
  'attention_kind',
  'checkpoint',
  'encoding',
  'empty_rows',
  'non_finite',
  'output_dtype',
  'precision',
  'qk_norm',
  'return',
  'scale',
  'softcap',
  'stack',
  'window',
]
/** What each item has of its own, with the batch as the first axis. */
const OF_ITEMS = [
  'x',
  'context',
  'q_lengths',
  'kv_lengths',
  'prefix_lengths',
  'context_lengths',
  'segments.q',
  'segments.kv',
  'encoder.x',
  'encoder.q_lengths',
  'attention_kind.gates.decay',
  'attention_kind.gates.beta',
  'backward.grad_output',
  'backward.target',
]
/** Dictionaries of tensors of items; `state.position` is for all. */
const ITEMS_BY_NAME = ['past', 'state']
const FOR_ALL = ['alibi', 'relative_bias.table', 'stack.rope.frequencies', 'encoder.stack.rope.frequencies']
const POSITIONS = ['q_positions', 'k_positions']
const PARAMS = ['stack.params', 'encoder.stack.params']
/** Dictionaries of the answer with a tensor an item. */
const ANSWERED_BY_ITEM =
  /^(encoder\.)?(output$|layers\.)|^present\.|^state\.|^grads\.(x$|context$|encoder\.x$|past\.|state\.|attention_kind\.)/
const ANSWERED_FOR_ALL = /^(encoder\.)?params\.|^state\.position$/

const ofItems = (rank: number) => 'b'.padEnd(rank, 'x')
const forAll = (rank: number) => 'x'.repeat(rank)

export const stackSubject: Subject = {
  over: 'b',
  lists: [],
  hindrance(tree) {
    const known = [...OF_ITEMS, ...ITEMS_BY_NAME, ...FOR_ALL, 'mask', 'backward', 'encoder']
    const roots = known.map(name => name.split('.')[0])
    const other = Object.keys(tree).find(name => !PLAIN.includes(name) && !roots.includes(name))
    if (other !== undefined) return `\`${other}\` needs all of it`
    const { attention_kind: kind = 'softmax', backward = {} } = tree as Record<string, Tree | string>
    if ((typeof kind === 'string' ? kind : kind.kind) === 'lsh')
      return 'attention_kind lsh draws by the place in the batch'
    if ((backward as Tree).entropy_weight !== undefined) return '`entropy_weight` is a mean over all of it'
    for (const { rope } of stacksOf(tree)) {
      if (Array.isArray(rope) && rope.some(hasTensor)) return 'tensors in a list of ropes are not cut'
      if (isTree(rope) && rope.scaling !== undefined && POSITIONS.some(name => rope[name] !== undefined))
        return '`rope.scaling` looks at all positions'
    }
    return undefined
  },
  inputs(tree) {
    const inputs: NamedAxes[] = [...OF_ITEMS.map((name): NamedAxes => [name, ofItems])]
    inputs.push(...FOR_ALL.map((name): NamedAxes => [name, forAll]))
    inputs.push(['mask', rank => 'bhnm'.slice(-rank).replace('h', 'x')])
    for (const stack of ['stack', 'encoder.stack']) {
      for (const name of POSITIONS) inputs.push([`${stack}.rope.${name}`, rank => 'bn'.slice(-rank)])
    }
    for (const name of PARAMS) for (const key of keysAt(tree, name)) inputs.push([`${name}.${key}`, forAll])
    for (const name of ITEMS_BY_NAME) {
      for (const key of keysAt(tree, name))
        inputs.push([`${name}.${key}`, key === 'position' ? forAll : ofItems])
    }
    return inputs
  },
  extents({ tensors }) {
    const { shape = [] } = tensors.find(({ path }) => path === 'x')?.source ?? {}
    return { batch: shape.length === 3 ? shape[0] : 1, kvHeads: 1, group: 1 }
  },
  output(name, shape, { tensors }) {
    if (ANSWERED_FOR_ALL.test(name)) return ''
    if (ANSWERED_BY_ITEM.test(name)) return ofItems(shape.length)
    // in the mask's own shape: a sum over what that is broadcast along
    const mask = tensors.find(({ path }) => path === 'mask')
    return name === 'grads.mask' ? mask?.axes : undefined
  },
  rest: rest => rest,
  shapes: tree => tree,
}

function stacksOf({ stack, encoder }: Tree): Tree[] {
  return [stack, isTree(encoder) ? encoder.stack : undefined].filter(isTree)
}

/** Whatever is no plain value. */
function hasTensor(rope: unknown): boolean {
  return isTree(rope) && ['frequencies', ...POSITIONS].some(name => rope[name] !== undefined)
}

function keysAt(tree: Tree, path: string): string[] {
  const node = path.split('.').reduce<unknown>((at, key) => (isTree(at) ? at[key] : undefined), tree)
  return isTree(node) ? Object.keys(node) : []
}
