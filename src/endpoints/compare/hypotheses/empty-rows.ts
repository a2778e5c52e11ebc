import { fillEmptyRows } from '../../../../workers/ops/compare/op.ts'
import type { Alteration } from '../alteration.ts'
import { type Hypothesis, type Hypothesise, headsFirst, names } from './hypothesis.ts'

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

const SAYS = {
  zeros: 'Rows that attend to nothing are zeros',
  nan: 'Rows that attend to nothing are NaN (0/0, or −∞ − (−∞))',
  uniform: 'Rows that attend to nothing are the mean of all values (their mask is a large finite number)',
}

/** What `empty_rows` does not go together with. */
const APART = ['dropout', 'relative_bias', 'sinks', 'attention_kind', 'cu_seqlens_q']

/** What is written where a row attends to nothing. */
export const emptyRows: Hypothesise = (body, request) => {
  const own = (body.empty_rows ?? 'zeros') as keyof typeof SAYS
  const others = (['zeros', 'nan', 'uniform'] as const).filter(rows => rows !== own)
  const said: Hypothesis[] = others.map(rows => ({
    says: `${SAYS[rows]} instead of ${own}.`,
    change: { empty_rows: rows },
  }))
  const given = names(request)
  const isApart = APART.some(field => body[field] !== undefined && body[field] !== 'softmax')
  if (!headsFirst(body) || own !== 'zeros' || !given.includes('output')) return said
  // a kernel may have it so in the output, and nowhere else
  if (given.length === 1 && !isApart) return said
  return [
    ...said,
    { says: `${SAYS.nan} in the output instead of zeros.`, change: null, alteration: filling('nan') },
    { says: `${SAYS.uniform} in the output instead of zeros.`, change: null, alteration: filling('mean') },
  ]
}
