import type { Ref } from '../../../../workers/contract.ts'
import { takeHeads } from '../../../../workers/ops/maps/op.ts'
import type { RequestProgram } from '../../../layers/program-builder.ts'
import type { Hypothesis, Hypothesise } from './hypothesis.ts'

const AXES = { bhnd: '[B, H, N, d]', bnhd: '[B, N, H, d]' }

/** Rows of a batch element that are put in another order, at most. */
const MOST_ROWS = 1 << 16

/** Heads and positions taken for each other. */
export const layout: Hypothesise = ({ q, k, v, layout: own = 'bhnd' }) => {
  if (q?.shape.length !== 4 || k === undefined || v === undefined) return []
  const other = own === 'bhnd' ? 'bnhd' : 'bhnd'
  const swapped = `q, k and v are read as ${AXES[other]} instead of ${AXES[own as 'bhnd' | 'bnhd']}: heads and positions are taken for each other.`
  const found: Hypothesis[] = [{ says: swapped, change: { layout: other }, ofAllHeads: true }]
  if ([q, k, v].some(({ shape }) => shape[1] * shape[2] > MOST_ROWS)) return found
  return [...found, readInOrder(own, other, q.shape, k.shape)]
}

/** The numbers in memory are read in the other order, by the sizes that each axis should have. */
function readInOrder(own: string, other: 'bhnd' | 'bnhd', ofQ: number[], ofK: number[]): Hypothesis {
  const shapes: Record<string, number[]> = { q: ofQ, k: ofK, v: ofK }
  const inputs: Record<string, number[]> = { '/q': ofQ, '/k': ofK, '/v': ofK, '/backward/grad_output': ofQ }
  return {
    says: `The memory of q, k and v is ${AXES[own as 'bhnd' | 'bnhd']}, but the strides are those of ${AXES[other]}: rows of different heads are mixed.`,
    change: null,
    ofAllHeads: true,
    alteration: {
      input: (p, pointer, x) => (pointer in inputs ? turned(p, x, inputs[pointer], false) : x),
      answer(p, evaluation) {
        for (const [name, output] of evaluation) {
          const shape = name === 'output' ? ofQ : shapes[name.replace('grads.', '')]
          if (shape !== undefined) output.buffer = turned(p, output.buffer, shape, true)
        }
      },
    },
  }
}

/** y[b, i, j] = x[b]'s row j·(extent of i) + i; `back`: the inverse. */
function turned(p: RequestProgram, x: Ref, [batch, first, second]: number[], back: boolean): Ref {
  const { type, length } = p.buffers[x]
  const y = p.buffer({ type, length })
  const rows = first * second
  const inner = back ? first : second
  const outer = back ? second : first
  const chosen = Array.from({ length: rows }, (_, at) => (at % inner) * outer + Math.floor(at / inner))
  p.stage(p.step(takeHeads, { x, y }, { batch, heads: rows, chosen, width: length / (batch * rows) }))
  return y
}
