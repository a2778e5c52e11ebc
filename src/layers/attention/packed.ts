/**
 * `cu_seqlens_q`, `cu_seqlens_k`: sequences of different lengths, one behind the other, each of which attends within itself. They are
 * read here, because what is attended depends on them.
 */
import type { Ref } from '../../../workers/contract.ts'
import { intervalOf, intervals as intervalsOp, type RowMask } from '../../../workers/ops/intervals/op.ts'
import { chainOf, tilesOf } from '../../../workers/ops/packed-attention/op.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import { bothProblem, fieldsProblem } from '../../problem.ts'
import { expectShape, type Geometry, wrong } from '../geometry.ts'
import type { RequestProgram } from '../program-builder.ts'
import type { Rows } from './heads-first.ts'
import { elementProblem, MOST_SEQUENCES, readIntegers } from './lengths.ts'

/** Rows looked at for the cost of what is attended. */
const SAMPLES = 1024

export interface Packed {
  sequences: number
  /** where their queries and keys begin, and end */
  cuQ: Int32Array
  cuK: Int32Array
  longest: { queries: number; keys: number }
  /** pairs within a sequence, query tiles of one head, and shares of a chain backward, as in packed-attention/op.ts */
  pairs: number
  tiles: number
  shares: number
  /** of each sequence, where its rows do not stand at their own index */
  shifts?: Int32Array | undefined
  refs: { cuQ: Ref; cuK: Ref; shifts?: Ref | undefined; tileStarts: Ref; pairStarts: Ref }
  rows: { q: Rows; k: Rows }
}

interface PackedOptions {
  cu_seqlens_q?: TensorSource | undefined
  cu_seqlens_k?: TensorSource | undefined
  causal?: unknown
  aligned?: unknown
}

/** Fields that say in their own way what is where. */
const APART = ['layout', 'mask', 'q_lengths', 'kv_lengths', 'prefix_lengths', 'segments', 'past_k', 'past_v']

export function refuseBesidePacked(request: PackedOptions): void {
  const given = (name: string) => (request as Record<string, unknown>)[name] !== undefined
  if (!given('cu_seqlens_q')) {
    const message = 'expected cu_seqlens_q beside cu_seqlens_k, got none'
    throw fieldsProblem('INVALID_REQUEST', [
      { path: '/cu_seqlens_k', message },
      { path: '/cu_seqlens_q', message },
    ])
  }
  for (const name of APART) if (given(name)) throw bothProblem('', 'cu_seqlens_q', name)
}

/** `g`: all queries and all keys as those of one batch element. */
export function readPacked(p: RequestProgram, options: PackedOptions, g: Geometry): Packed {
  const { cu_seqlens_q: forQ, cu_seqlens_k: forK, causal, aligned } = options
  if (forQ === undefined) throw new Error('no cu_seqlens_q')
  const cuQ = readStarts(forQ, '/cu_seqlens_q', g.queries, 'T, the number of queries')
  if (forK !== undefined) expectShape('/cu_seqlens_k', forK, [cuQ.length])
  if (forK === undefined && g.keys !== g.queries) {
    const message = `expected as many keys as queries (${g.queries}) without cu_seqlens_k, got ${g.keys}`
    throw fieldsProblem('SHAPE_MISMATCH', [
      { path: '/k', message },
      { path: '/cu_seqlens_k', message },
    ])
  }
  const cuK = forK === undefined ? cuQ : readStarts(forK, '/cu_seqlens_k', g.keys, 'S, the number of keys')
  const sequences = cuQ.length - 1
  const tileStarts = new Int32Array(sequences + 1)
  const pairStarts = new Float64Array(sequences + 1)
  const bottomRight = causal === 'bottom_right' || aligned !== undefined
  const shifts = bottomRight ? new Int32Array(sequences) : undefined
  const longest = { queries: 0, keys: 0 }
  let [longestChain, chains] = [1, 0]
  for (let s = 0; s < sequences; s++) {
    const queries = cuQ[s + 1] - cuQ[s]
    const keys = cuK[s + 1] - cuK[s]
    tileStarts[s + 1] = tileStarts[s] + tilesOf(queries)
    pairStarts[s + 1] = pairStarts[s] + queries * keys
    if (shifts !== undefined) shifts[s] = keys - queries
    longest.queries = Math.max(longest.queries, queries)
    longest.keys = Math.max(longest.keys, keys)
    const chain = chainOf(keys, g.heads / g.kvHeads)
    longestChain = Math.max(longestChain, chain)
    chains += chain
  }
  const integers = (data: Int32Array) => p.buffer({ type: 'int32', length: data.length, data })
  const refs = {
    cuQ: integers(cuQ),
    cuK: integers(cuK),
    shifts: shifts && integers(shifts),
    tileStarts: integers(tileStarts),
    pairStarts: p.buffer({ type: 'float64', length: sequences + 1, data: pairStarts }),
  }
  return {
    sequences,
    cuQ,
    cuK,
    longest,
    pairs: pairStarts[sequences],
    tiles: tileStarts[sequences],
    // with more of them, most sequences would have empty ones
    shares: Math.min(longestChain, Math.ceil((4 * chains) / Math.max(1, sequences)) || 1),
    shifts,
    refs,
    rows: {
      q: { heads: g.heads, positions: g.queries, offsets: refs.cuQ },
      k: { heads: g.kvHeads, positions: g.keys, offsets: refs.cuK },
    },
  }
}

/** [B + 1] whole numbers from 0 to `end` that never fall; a tensor that is only a shape counts as sequences of one length. */
function readStarts(source: TensorSource, pointer: string, end: number, what: string): Int32Array {
  const sequences = source.count - 1
  if (source.shape.length !== 1 || sequences < 0) wrong(pointer, source, 'expected [B + 1]')
  if (sequences > MOST_SEQUENCES) wrong(pointer, source, `expected at most ${MOST_SEQUENCES} sequences`)
  if (source.form === 'shape') {
    const even = (_: unknown, s: number) => (sequences === 0 ? end : Math.floor((s * end) / sequences))
    return Int32Array.from({ length: sequences + 1 }, even)
  }
  const { values, fault } = readIntegers(source)
  if (fault !== undefined) {
    throw elementProblem(pointer, source, fault.index, `expected an integer, got ${fault.found}`)
  }
  const refuse = (index: number, expected: string) => {
    throw elementProblem(pointer, source, index, `expected ${expected}, got ${values[index]}`)
  }
  if (values[0] !== 0) refuse(0, '0, where the first sequence begins')
  for (let s = 1; s <= sequences; s++) {
    if (values[s] < values[s - 1]) refuse(s, `at least ${values[s - 1]}, the element before it`)
  }
  if (values[sequences] !== end) refuse(sequences, `${end} (${what})`)
  return values
}

/** What masks by position let each row attend to, within its sequence. */
export function packedIntervals(p: RequestProgram, packed: Packed, masks: RowMask[]) {
  const { sequences, cuQ, longest, refs } = packed
  const strides: [number, number] = [0, 0]
  const rows = cuQ[sequences]
  if (masks.length === 0 || packed.pairs === 0) return { strides, area: packed.pairs }
  const ref = p.buffer({ type: 'int32', length: 2 * rows })
  const tensors = { shifts: refs.shifts, cuQ: refs.cuQ, cuK: refs.cuK, intervals: ref }
  const args = { batch: sequences, queries: Math.ceil(rows / sequences), keys: longest.keys, shift: 0, masks }
  p.prepare(p.step(intervalsOp, tensors, args))
  return { ref, strides, area: areaOf(packed, masks) }
}

/** The pairs that the masks leave, by samples over all rows. */
function areaOf({ sequences, cuQ, cuK, shifts }: Packed, masks: RowMask[]): number {
  const rows = cuQ[sequences]
  const step = Math.max(1, rows / SAMPLES)
  let [area, s] = [0, 0]
  for (let row = 0; row < rows; row += step) {
    const t = Math.min(rows - 1, Math.floor(row + (step - 1) / 2))
    while (cuQ[s + 1] <= t) s++
    const [queries, keys] = [cuQ[s + 1] - cuQ[s], cuK[s + 1] - cuK[s]]
    const i = t - cuQ[s]
    const [lo, hi] = intervalOf(masks, { i, aligned: i + (shifts?.[s] ?? 0), queries, keys, prefix: 0 }, keys)
    area += Math.max(0, hi - lo) * Math.min(step, rows - row)
  }
  return Math.round(area)
}
