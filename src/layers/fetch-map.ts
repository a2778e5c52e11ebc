/** One head of a map that was kept → a program that answers it. */
import { takeHeads } from '../../workers/ops/maps/op.ts'
import type { BufferPlace } from '../../workers/task.ts'
import type { StreamProgram } from '../endpoints/stream-run.ts'
import { BYTES } from '../program.ts'
import { RequestProgram } from './program-builder.ts'

/** `place`: where the map [batch, heads, queries, keys] stands; `index`: of the head among the chosen ones. */
export function fetchMap(
  precision: RequestProgram['precision'],
  { type, offset, length }: BufferPlace,
  { batched, batch, heads, queries, keys }: StreamProgram['maps'],
  index: number,
): RequestProgram {
  const p = new RequestProgram(precision, 'reject')
  const width = queries * keys
  const shape = batched ? [batch, queries, keys] : [queries, keys]
  if (batch === 1) {
    const at = offset + index * width * BYTES[type]
    p.output('values', p.buffer({ type, length: width, at }), shape)
    return p
  }
  const x = p.buffer({ type, length, at: offset })
  const y = p.reals(batch * width)
  const args = { batch, heads: heads.length, chosen: [index], width }
  p.stage(p.step(takeHeads, { x, y }, args))
  p.output('values', y, shape)
  return p
}
