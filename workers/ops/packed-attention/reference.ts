/** The float64 kernels: those of attention alone, sequence by sequence. */
import * as alone from '../attention/reference/index.ts'
import type { Args, Piece, Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import { backwardPieces, distancePieces, forwardPieces } from './pieces.ts'

/** The kernel of attention alone, over each piece. */
function run(kernel: (t: never, a: never, from: number, to: number) => void, pieces: Iterable<Piece>): void {
  for (const { tensors, args, from, to } of pieces) kernel(tensors as never, args as never, from, to)
}

/** attentionForward of every sequence: see attention/reference/attention.ts. */
export function packedForward(
  t: Tensors<typeof op.packedForward>,
  a: Args<typeof op.packedForward>,
  from: number,
  to: number,
): void {
  run(alone.attentionForward, forwardPieces(t, a, from, to))
}

/** attentionBackward of every sequence: see attention/reference/backward.ts. */
export function packedBackward(
  t: Tensors<typeof op.packedBackward>,
  a: Args<typeof op.packedBackward>,
  from: number,
  to: number,
): void {
  run(alone.attentionBackward, backwardPieces(t, a, from, to))
}

/** attentionDistanceGradient of every sequence: see attention/reference/distance-gradient.ts. */
export function packedDistanceGradient(
  t: Tensors<typeof op.packedDistanceGradient>,
  a: Args<typeof op.packedDistanceGradient>,
  from: number,
  to: number,
): void {
  run(alone.attentionDistanceGradient, distancePieces(t, a, from, to))
}

/** attentionJvp of every sequence: see attention/reference/jvp.ts. */
export function packedJvp(
  t: Tensors<typeof op.packedJvp>,
  a: Args<typeof op.packedJvp>,
  from: number,
  to: number,
): void {
  run(alone.attentionJvp, forwardPieces(t, a, from, to))
}
