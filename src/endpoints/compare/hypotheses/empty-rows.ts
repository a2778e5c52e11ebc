import { fillEmptyRows } from '../../../../workers/ops/compare/op.ts'
import type { Alteration } from '../alteration.ts'
import { type Hypothesise, headsFirst, names } from './hypothesis.ts'

export function filling(by: 'nan' | 'mean'): Alteration {
  return {
    answer(p, evaluation, [attention]) {
      const output = evaluation.get('output')
      if (output === undefined || attention === undefined) return
      const { batch, heads, kvHeads, queries, keys, dimV: dim } = attention.args
      const { denominator, v } = attention
      const rows = batch * heads * queries
      const y = p.buffer({ type: p.buffers[output.buffer].type, length: rows * dim })
      const args = { heads, kvHeads, rows, queries, keys, dim, by }
      p.stage(p.step(fillEmptyRows, { x: output.buffer, v, denominator, y }, args))
      output.buffer = y
    },
  }
}

/** What is written where a row attends to nothing. */
export const emptyRows: Hypothesise = (body, request) => {
  if (!headsFirst(body) || !names(request).includes('output')) return []
  return [
    {
      says: 'Rows that attend to nothing are NaN (0/0, or −∞ − (−∞)) instead of zeros.',
      change: null,
      alteration: filling('nan'),
    },
    {
      says: 'Rows that attend to nothing are the mean of all values (their mask is a large finite number) instead of zeros.',
      change: null,
      alteration: filling('mean'),
    },
  ]
}
