/**
 * The recurrence of op.ts, event by event. Padding rows and rows that see nothing are zeros; padding keys change nothing and
 * are not read.
 */
import type { Tensors } from '../../define-op.ts'
import { dot } from '../../rows.ts'
import type * as op from '../op.ts'
import { columnBlocks, type RecurrentArgs, recurrentChunks, STATE_COLUMNS } from '../op.ts'
import { gatesOf, sequenceOf } from './events.ts'

type ForwardTensors = Tensors<typeof op.recurrentForward>

export function recurrentForward(t: ForwardTensors, a: RecurrentArgs, from: number, to: number): void {
  const chunks = recurrentChunks(a)
  const blocks = columnBlocks(a)
  for (let unit = from; unit < to; unit++) {
    const chunk = unit % chunks
    const block = Math.floor(unit / chunks) % blocks
    const kvHead = Math.floor(unit / (chunks * blocks))
    const begin = block * STATE_COLUMNS
    const end = Math.min(begin + STATE_COLUMNS, a.dimV)
    for (let column = begin; column < end; column++) runColumn(t, a, kvHead, chunk, column)
  }
}

/** One chunk of one column. */
function runColumn(t: ForwardTensors, a: RecurrentArgs, kvHead: number, chunk: number, column: number): void {
  const { dimK, dimV, kvHeads, queries } = a
  const [b, h] = [Math.floor(kvHead / kvHeads), kvHead % kvHeads]
  const { live, seen, to, events } = sequenceOf(t, a, b)
  const group = a.heads / kvHeads
  const at = (d: number) => (kvHead * dimK + d) * dimV + column
  const S = new (t.state.constructor as Float64ArrayConstructor)(dimK)
  for (let d = 0; d < dimK; d++) S[d] = chunk > 0 ? t.state[at(d)] : (t.initial?.[at(d)] ?? 0)
  if (t.states !== undefined) {
    const slot = kvHead * recurrentChunks(a) + chunk
    for (let d = 0; d < dimK; d++) t.states[(slot * dimK + d) * dimV + column] = S[d]
  }
  for (const event of events(chunk)) {
    if (event < 0) {
      const j = -1 - event
      if (j < seen) stepColumn(t, a, S, { b, h, j, column })
      continue
    }
    if (t.output === undefined || t.q === undefined) continue
    const reads = event < live && (to(event) > 0 || t.initial !== undefined)
    for (let member = 0; member < group; member++) {
      const row = (b * a.heads + h * group + member) * queries + event
      let sum = 0
      for (let d = 0; reads && d < dimK; d++) sum += a.scale * t.q[row * dimK + d] * S[d]
      t.output[row * dimV + column] = sum
    }
  }
  for (let d = 0; d < dimK; d++) t.state[at(d)] = S[d]
}

interface KeyPlace {
  b: number
  h: number
  j: number
  column: number
}

/** S_t from S_{t−1}; gives v − S̃ᵀk, or v where there is no delta rule. */
export function stepColumn(
  t: Pick<ForwardTensors, 'k' | 'v' | 'factors' | 'beta'>,
  a: RecurrentArgs,
  S: Float64Array,
  { b, h, j, column }: KeyPlace,
): number {
  const { factor, rate } = gatesOf(t, a, b, h)
  const key = (b * a.kvHeads + h) * a.keys + j
  if (a.decayDims > 0) for (let d = 0; d < a.dimK; d++) S[d] *= factor(j, d)
  const value = t.v[key * a.dimV + column]
  const error = a.betaHeads > 0 ? value - dot(S, 0, t.k, key, a.dimK) : value
  const update = a.betaHeads > 0 ? rate(j) * error : value
  for (let d = 0; d < a.dimK; d++) S[d] += t.k[key * a.dimK + d] * update
  return error
}
