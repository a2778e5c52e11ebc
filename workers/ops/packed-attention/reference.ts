/** The float64 kernels: those of attention alone, sequence by sequence. */
import type {
  BackwardArgs,
  BackwardTensors,
  DistanceGradientArgs,
  DistanceGradientTensors,
  ForwardTensors,
  JvpTensors,
} from '../attention/op.ts'
import * as alone from '../attention/reference/index.ts'
import type { Args, Tensors } from '../define-op.ts'
import type * as op from './op.ts'
import { backwardPieces, distancePieces, forwardPieces } from './pieces.ts'

/** attentionForward of every sequence: see attention/reference/attention.ts. */
export function packedForward(
  t: Tensors<typeof op.packedForward>,
  a: Args<typeof op.packedForward>,
  from: number,
  to: number,
): void {
  for (const piece of forwardPieces(t, a, from, to)) {
    alone.attentionForward(piece.tensors as ForwardTensors, piece.args as BackwardArgs, piece.from, piece.to)
  }
}

/** attentionBackward of every sequence: see attention/reference/backward.ts. */
export function packedBackward(
  t: Tensors<typeof op.packedBackward>,
  a: Args<typeof op.packedBackward>,
  from: number,
  to: number,
): void {
  for (const piece of backwardPieces(t, a, from, to)) {
    alone.attentionBackward(
      piece.tensors as BackwardTensors,
      piece.args as BackwardArgs,
      piece.from,
      piece.to,
    )
  }
}

/** attentionDistanceGradient of every sequence: see attention/reference/distance-gradient.ts. */
export function packedDistanceGradient(
  t: Tensors<typeof op.packedDistanceGradient>,
  a: Args<typeof op.packedDistanceGradient>,
  from: number,
  to: number,
): void {
  for (const piece of distancePieces(t, a, from, to)) {
    alone.attentionDistanceGradient(
      piece.tensors as DistanceGradientTensors,
      piece.args as DistanceGradientArgs,
      piece.from,
      piece.to,
    )
  }
}

/** attentionJvp of every sequence: see attention/reference/jvp.ts. */
export function packedJvp(
  t: Tensors<typeof op.packedJvp>,
  a: Args<typeof op.packedJvp>,
  from: number,
  to: number,
): void {
  for (const piece of forwardPieces(t, a, from, to)) {
    alone.attentionJvp(piece.tensors as JvpTensors, piece.args as BackwardArgs, piece.from, piece.to)
  }
}
