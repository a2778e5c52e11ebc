/** One head of a map that was kept, as the answer of a program. */

import type { BufferPlace } from '../../workers/contract.ts'
import { takeHeads } from '../../workers/ops/maps/op.ts'
import { BYTES } from '../program.ts'
import type { KeptMap } from './outputs.ts'
import type { RequestProgram } from './program-builder.ts'

/** `place`: where the map stands; `index`: of the head among those it holds. */
export function fetchMap(
  p: RequestProgram,
  { type, offset, length }: BufferPlace,
  { batched, batch, heads, queries, keys }: KeptMap,
  index: number,
): void {
  const width = queries * keys
  const shape = batched ? [batch, queries, keys] : [queries, keys]
  if (batch === 1) {
    const at = offset + index * width * BYTES[type]
    p.output('values', p.buffer({ type, length: width, at }), shape)
    return
  }
  const x = p.buffer({ type, length, at: offset })
  const y = p.reals(batch * width)
  const args = { batch, heads: heads.length, chosen: [index], width }
  p.stage(p.step(takeHeads, { x, y }, args))
  p.output('values', y, shape)
}
