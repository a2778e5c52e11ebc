/** How a request that is too large is cut: over the batch, and where that does not do over the key heads, each with its query heads. */
import type { Held } from '../../endpoints/models/endpoint-at.ts'
import type { Estimate } from '../../engine/admission.ts'
import type { Engine } from '../../engine/engine.ts'
import type { Part } from './part.ts'
import type { Tree } from './subject.ts'
import { subjectOf } from './subjects.ts'
import { estimateOf, type Pricing, wholeShape } from './whole-shape.ts'

const MOST_PARTS = 1024

export interface Cut {
  parts: Part[]
  /** extents of the largest part */
  batch: number
  /** where heads may be cut */
  heads?: number
  /** what that takes */
  estimate: Estimate
}

/** What a cut is of: an endpoint whose request has been prepared, that request, and for how long a part may run. */
export interface Large {
  held: Held
  tree: Tree
  shapeAlone: boolean
  engine: Engine
  seconds: number
  client: string | undefined
  signal: AbortSignal
}

/** A text says why there is no cut. */
export async function planCut(large: Large): Promise<Cut | string> {
  const { held, tree, shapeAlone, engine, seconds } = large
  const subject = subjectOf(held.path, held.whole)
  if (subject === undefined) return 'only attention, stacks and models can be cut'
  const hindered = subject.hindrance(tree)
  if (hindered !== undefined) return hindered
  const pricing: Pricing = { ...large, whole: held.whole }
  const whole = await wholeShape(subject, tree, shapeAlone, pricing)
  const { taken, batch, kvHeads, group, outputs } = whole
  const heads = subject.over.includes('g')
  if (batch === 1 && kvHeads === 1) return `there is nothing to cut but one ${heads ? 'head' : 'item'}`
  let summed: string | undefined
  const along = (axes: string, extents: number[]) => {
    const other = outputs.find(({ name, shape }) => {
      const own = subject.output(name, shape, taken)
      if (own === '') return false
      return !own || ![...own].some((axis, at) => axes.includes(axis) && extents.includes(shape[at]))
    })
    summed ??= other?.name
    return other === undefined
  }
  const overBatch = batch > 1 && along('b', [batch])
  const overHeads = heads && kvHeads > 1 && along('hg', [kvHeads, kvHeads * group])
  if (!overBatch && !overHeads) {
    const axes = heads ? 'batch and heads' : 'the batch'
    return summed === undefined
      ? `there is nothing to cut but one item`
      : `its answer holds sums over ${axes} (${summed})`
  }
  for (const [items, groups] of sizes(overBatch ? batch : 1, overHeads ? kvHeads : 1)) {
    const part: Part = {
      batch: [0, overBatch ? items : batch],
      kvHeads: [0, overHeads ? groups : kvHeads],
    }
    const parts = partsOf(batch, kvHeads, part)
    if (parts.length > MOST_PARTS) return `it would take more than ${MOST_PARTS} parts`
    const estimate = await estimateOf(whole, part, pricing)
    if (engine.refusal(estimate) !== undefined || estimate.seconds > seconds) continue
    return { parts, batch: part.batch[1], ...(heads && { heads: part.kvHeads[1] * group }), estimate }
  }
  return `one ${heads ? 'head' : 'item'} of it is too large still`
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

/** What a plan says of a request that only a job can compute: how that would be cut. */
export async function plannedCut(
  large: Large,
  estimate: Estimate,
): Promise<{ cut?: Record<string, number> }> {
  const { engine, seconds } = large
  if (engine.refusal(estimate) === undefined && estimate.seconds <= seconds) return {}
  const cut = await planCut(large)
  if (typeof cut === 'string') return {}
  const { parts, estimate: part, ...extents } = cut
  return { cut: { parts: parts.length, ...extents, ...part } }
}
