import type { Args, Tensors } from '../../define-op.ts'
import { ELEMENT_BLOCK } from '../../element-block.ts'
import type * as op from '../op.ts'
import { softcapForward } from './score.ts'

/** y = cap·tanh(x/cap). A unit is ELEMENT_BLOCK elements; y may be x itself. */
export function softcapScores(
  { x, y }: Tensors<typeof op.softcapScores>,
  a: Args<typeof op.softcapScores>,
  from: number,
  to: number,
): void {
  const end = Math.min(to * ELEMENT_BLOCK, a.count)
  for (let at = from * ELEMENT_BLOCK; at < end; at++) y[at] = softcapForward(x[at], a.cap)
}
