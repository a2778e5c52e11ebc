/** The calls that a call over packed sequences is made of: one for each sequence that its units belong to. */
import { partsOf } from '../attention/op.ts'
import type { AnyTensors, Elements, Piece } from '../define-op.ts'
import { mix } from '../dropout.ts'
import { chainOf, type PackedArgs } from './sizes.ts'

type Given = AnyTensors & { cuQ: Int32Array; cuK: Int32Array }

export function* forwardPieces(
  t: Given & { tileStarts: Int32Array },
  a: PackedArgs,
  from: number,
  to: number,
): Generator<Piece> {
  const { tileStarts } = t
  let s = sequenceOf(tileStarts, a.sequences, Math.floor(from / a.heads))
  for (let unit = from; unit < to; s++) {
    const first = tileStarts[s] * a.heads
    const end = Math.min(to, tileStarts[s + 1] * a.heads)
    if (end <= unit) continue
    yield { tensors: ofSequence(t, a, s), args: argsOf(t, a, s), from: unit - first, to: end - first }
    unit = end
  }
}

export function* backwardPieces(
  t: Given,
  a: PackedArgs & { shares: number },
  from: number,
  to: number,
): Generator<Piece> {
  const units = a.kvHeads * a.shares
  for (let unit = from; unit < to; ) {
    const s = Math.floor(unit / units)
    const end = Math.min(to, (s + 1) * units)
    const args = argsOf(t, a, s)
    const chain = chainOf(args.keys, a.heads / a.kvHeads)
    const startOf = (share: number) =>
      Math.floor(share / a.shares) * chain + Math.floor(((share % a.shares) * chain) / a.shares)
    const [first, last] = [startOf(unit - s * units), startOf(end - s * units)]
    if (first < last) yield { tensors: ofSequence(t, a, s), args, from: first, to: last }
    unit = end
  }
}

/** Every sequence adds to the distances of each head. */
export function* distancePieces(t: Given, a: PackedArgs, from: number, to: number): Generator<Piece> {
  for (let s = 0; s < a.sequences; s++) {
    const tensors = { ...ofSequence(t, a, s), gradDistances: t.gradDistances }
    yield { tensors, args: { ...argsOf(t, a, s), parts: 1, further: s > 0 }, from, to }
  }
}

/** The last sequence that begins at `tile` or before, by bisection: it has tiles. */
function sequenceOf(starts: Int32Array, sequences: number, tile: number): number {
  let [first, last] = [0, sequences]
  while (last - first > 1) {
    const middle = (first + last) >> 1
    if (starts[middle] <= tile) first = middle
    else last = middle
  }
  return first
}

function argsOf(t: Given, a: PackedArgs, s: number) {
  const queries = t.cuQ[s + 1] - t.cuQ[s]
  const keys = t.cuK[s + 1] - t.cuK[s]
  const shift = t.shifts?.[s] ?? a.shift
  // every sequence drops weights of its own; the first those that it would drop alone
  const seedLow = s === 0 ? a.seedLow : mix(a.seedLow ^ mix(s))
  return { ...a, batch: 1, queries, keys, shift, seedLow, parts: partsOf(keys), apart: false }
}

/** Where the tensors have what belongs to sequence s. */
function ofSequence(t: Given, a: PackedArgs, s: number): AnyTensors {
  const { heads, kvHeads, dimK, dimV } = a
  const rows = (x: Elements | undefined, width: number) => x?.subarray(t.cuQ[s] * width, t.cuQ[s + 1] * width)
  const keyRows = (x: Elements | undefined, width: number) =>
    x?.subarray(t.cuK[s] * width, t.cuK[s + 1] * width)
  const pairs = (x: Elements | undefined) =>
    x?.subarray(heads * (t.pairStarts?.[s] ?? 0), heads * (t.pairStarts?.[s + 1] ?? 0))
  return {
    slopes: t.slopes,
    sinks: t.sinks,
    tangentSinks: t.tangentSinks,
    distanceBiases: t.distanceBiases,
    scalars: t.scalars,
    intervals: rows(t.intervals, 2),
    q: rows(t.q, heads * dimK),
    k: keyRows(t.k, kvHeads * dimK),
    v: keyRows(t.v, kvHeads * dimV),
    output: rows(t.output, heads * dimV),
    denominator: rows(t.denominator, 2 * heads),
    logsumexp: rows(t.logsumexp, heads),
    entropy: rows(t.entropy, heads),
    maxima: rows(t.maxima, heads),
    rowTerms: rows(t.rowTerms, heads),
    weightTerms: pairs(t.weightTerms),
    scores: pairs(t.scores),
    maskedScores: pairs(t.maskedScores),
    weights: pairs(t.weights),
    droppedWeights: pairs(t.droppedWeights),
    gradOutput: rows(t.gradOutput, heads * dimV),
    delta: rows(t.delta, heads),
    gradQ: rows(t.gradQ, heads * dimK),
    gradQParts: rows(t.gradQParts, heads * dimK),
    gradK: keyRows(t.gradK, kvHeads * dimK),
    gradV: keyRows(t.gradV, kvHeads * dimV),
    tangentQ: rows(t.tangentQ, heads * dimK),
    tangentK: keyRows(t.tangentK, kvHeads * dimK),
    tangentV: keyRows(t.tangentV, kvHeads * dimV),
    tangentOutput: rows(t.tangentOutput, heads * dimV),
    tangentWeights: pairs(t.tangentWeights),
    tangentLogsumexp: rows(t.tangentLogsumexp, heads),
  }
}
