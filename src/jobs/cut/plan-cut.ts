/** How a request that is too large is cut: over the batch, and where that does not do over the key heads, each with its query heads. */
import { attention } from '../../endpoints/attention.ts'
import type { Estimate } from '../../engine/admission.ts'
import type { Engine } from '../../engine/engine.ts'
import { alibiSlopes } from '../../layers/attention/biases.ts'
import type { OutputTensor } from '../../layers/outputs.ts'
import { type Numerics, replyStyle } from '../../pipeline/reply.ts'
import { compileAtOnce, parse } from '../../pipeline/serve.ts'
import { hindrance, outputAxes, shapeIn } from './axes.ts'
import type { Part } from './part.ts'
import { type Taken, type Tree, takeTensors, withShapes } from './tensors.ts'

const MOST_PARTS = 1024

export interface Cut {
  parts: Part[]
  /** extents of the largest part */
  batch: number
  heads: number
  /** what that takes */
  estimate: Estimate
}

export interface WholeShape {
  taken: Taken
  batch: number
  kvHeads: number
  /** query heads of one key head */
  group: number
  outputs: OutputTensor[]
}

/** `seconds`: what a part may take. A text says why there is no cut. */
export function planCut(
  path: string,
  tree: Tree,
  engine: Engine,
  seconds: number,
  shapeAlone: boolean,
): Cut | string {
  if (path !== attention.path) return 'only /v1/attention can be cut'
  const hindered = hindrance(tree)
  if (hindered !== undefined) return hindered
  const whole = wholeShape(tree, shapeAlone)
  const { taken, batch, kvHeads, group, outputs } = whole
  if (batch === 1 && kvHeads === 1) return 'there is nothing to cut but one head'
  const along = (axes: string, extents: number[]) =>
    outputs.every(({ name, shape }) => {
      const own = outputAxes(name, shape.length, taken.rank, taken.layout)
      return (
        own !== undefined && [...own].some((axis, at) => axes.includes(axis) && extents.includes(shape[at]))
      )
    })
  const overBatch = batch > 1 && along('b', [batch])
  const overHeads = kvHeads > 1 && along('hg', [kvHeads, kvHeads * group])
  if (!overBatch && !overHeads) return 'its answer holds sums over batch and heads'
  for (const [items, groups] of sizes(overBatch ? batch : 1, overHeads ? kvHeads : 1)) {
    const part: Part = {
      batch: [0, overBatch ? items : batch],
      kvHeads: [0, overHeads ? groups : kvHeads],
    }
    const estimate = estimateOf(whole, part, engine)
    if (engine.refusal(estimate) !== undefined || estimate.seconds > seconds) continue
    const parts = partsOf(batch, kvHeads, part)
    if (parts.length > MOST_PARTS) return `it would take more than ${MOST_PARTS} parts`
    return { parts, batch: part.batch[1], heads: part.kvHeads[1] * group, estimate }
  }
  return 'one head of it is too large still'
}

export function wholeShape(tree: Tree, shapeAlone: boolean): WholeShape {
  const taken = takeTensors(tree, shapeAlone)
  const [q, k] = ['q', 'k'].map(name => taken.tensors.find(({ path }) => path === name))
  const extent = (of: typeof q, axis: string) => of?.source.shape[of.axes.indexOf(axis)] ?? 1
  const kvHeads = Math.max(1, extent(k, 'g'))
  const request = parse(attention.shapes, shapesOf(taken, undefined, 1))
  const style = replyStyle(request as Numerics, 'safetensors')
  const { outputs } = compileAtOnce(attention, request, style).program
  return { taken, batch: extent(q, 'b'), kvHeads, group: extent(q, 'h') / kvHeads, outputs }
}

/** The request of shapes, of a part or of all. */
function shapesOf({ rest, tensors }: Taken, part: Part | undefined, group: number): Tree {
  return withShapes(
    rest,
    tensors.map(({ path, axes, source: { shape, dtype } }) => ({
      path,
      shape: part === undefined ? shape : shapeIn(shape, axes, part, group),
      dtype,
    })),
  )
}

function estimateOf({ taken, group }: WholeShape, part: Part, engine: Engine): Estimate {
  const request = parse(attention.shapes, shapesOf(taken, part, group))
  const { program, memory } = compileAtOnce(
    attention,
    request,
    replyStyle(request as Numerics, 'safetensors'),
  )
  return engine.estimate(program, memory)
}

/** Extents of a part, the largest first: halves of the batch, then one item and halves of the heads. */
function* sizes(batch: number, kvHeads: number): Generator<[number, number]> {
  for (let items = batch; items > 1; items = Math.ceil(items / 2)) yield [items, kvHeads]
  for (let groups = kvHeads; ; groups = Math.ceil(groups / 2)) {
    yield [1, groups]
    if (groups === 1) return
  }
}

function partsOf(batch: number, kvHeads: number, { batch: [, items], kvHeads: [, groups] }: Part): Part[] {
  const parts: Part[] = []
  for (let b = 0; b < batch; b += items) {
    for (let g = 0; g < kvHeads; g += groups) {
      parts.push({
        batch: [b, Math.min(b + items, batch)],
        kvHeads: [g, Math.min(g + groups, kvHeads)],
      })
    }
  }
  return parts
}

/** What a part's request says beside its tensors: slopes that follow from the number of heads are those of the whole. */
export function restOf(
  rest: Tree,
  { kvHeads: [from, to] }: Part,
  { kvHeads, group }: Pick<WholeShape, 'kvHeads' | 'group'>,
): Tree {
  if (rest.alibi !== true) return rest
  return { ...rest, alibi: alibiSlopes(kvHeads * group).slice(from * group, to * group) }
}

/** What a plan says of a request that only a job can compute: how that would be cut. */
export function plannedCut(
  path: string,
  tree: Tree,
  estimate: Estimate,
  engine: Engine,
  seconds: number,
): { cut?: Record<string, number> } {
  if (engine.refusal(estimate) === undefined && estimate.seconds <= seconds) return {}
  const cut = planCut(path, tree, engine, seconds, true)
  if (typeof cut === 'string') return {}
  const { parts, batch, heads, estimate: part } = cut
  return { cut: { parts: parts.length, batch, heads, ...part } }
}
