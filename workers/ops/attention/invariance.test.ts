/**
 * A row's bits are its own: they depend on its query, on the keys and biases that it may attend to and on the options, never on
 * what else is in the call. Every problem is computed whole, and again in another call: some of its rows (a chunk of queries), behind
 * other batches and heads, with padding after its keys, beside an input that is not finite, cut into tasks.
 */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type AttentionKernels, referenceKernels, simdKernels } from '../../../test/support/attention-runs.ts'
import { normalNumbers, uniformNumbers } from '../../../test/support/numbers.ts'
import { ranges } from '../../../test/support/ranges.ts'
import { wasmMemory } from '../../../test/support/wasm-memory.ts'
import type { BufferType, Precision } from '../../contract.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../../wasm/variants.ts'
import { scratchBytes } from '../define-op.ts'
import { attentionBackward, attentionForward, type BackwardArgs } from './op.ts'

const wasm = wasmMemory(64)
const variants = Object.keys(SIMD_VARIANTS) as SimdVariant[]
const SETS: [string, AttentionKernels, Precision][] = [
  ['reference', referenceKernels, 'float64'],
  ...variants.map((name): [string, AttentionKernels, Precision] => [
    name,
    simdKernels(wasm.memory, name),
    'float32',
  ]),
]

/** One head's problem: row i attends to the keys [from, to) of intervals[i], which never decrease. */
interface Problem {
  queries: number
  keys: number
  dimK: number
  dimV: number
  softcap: number
  alibi: boolean
  mask: 'none' | 'bool' | 'float'
  entropy: boolean
  /** of q, k and of v: the sums over values overflow float32 where they are large */
  magnitude: number
  values: number
  intervals: 'all' | 'causal' | 'window'
  seed: number
}

const problems = fc.record<Problem>({
  queries: fc.integer({ min: 1, max: 90 }),
  keys: fc.integer({ min: 1, max: 300 }),
  dimK: fc.constantFrom(1, 4, 7, 16, 33, 64, 300),
  dimV: fc.constantFrom(1, 3, 8, 17, 64),
  softcap: fc.constantFrom(0, 0, 3),
  alibi: fc.boolean(),
  mask: fc.constantFrom('none', 'none', 'bool', 'float'),
  entropy: fc.boolean(),
  magnitude: fc.constantFrom(0.3, 1, 8, 1e4),
  values: fc.constantFrom(1, 1, 1e30, 3e37),
  intervals: fc.constantFrom('all', 'causal', 'causal', 'window'),
  seed: fc.nat(1e6),
})

/** The numbers of a problem, as every call of it has them. */
function numbersOf(p: Problem) {
  const uniform = uniformNumbers(p.seed)
  const normal = normalNumbers(uniform)
  const numbers = (length: number, size: number) =>
    Float32Array.from({ length }, () => Math.fround(size * Math.max(-3, Math.min(3, normal()))))
  return {
    q: numbers(p.queries * p.dimK, p.magnitude),
    k: numbers(p.keys * p.dimK, p.magnitude),
    v: numbers(p.keys * p.dimV, p.values / 3),
    gradOutput: numbers(p.queries * p.dimV, 1),
    mask: Float32Array.from({ length: p.queries * p.keys }, () =>
      uniform() < 0.2 ? Number.NEGATIVE_INFINITY : Math.fround(normal()),
    ),
    slope: 0.3,
    /** the keys that a row attends to */
    interval(i: number): [number, number] {
      if (p.intervals === 'all') return [0, p.keys]
      const aligned = i + p.keys - p.queries
      const from = p.intervals === 'window' ? Math.max(0, aligned - 140) : 0
      return [Math.min(from, p.keys), Math.max(0, Math.min(p.keys, aligned + 1))]
    },
  }
}

/** How a problem is called: rows [first, end), with other heads before it, keys of padding after its own. */
interface Call {
  first: number
  end: number
  before: number
  padding: number
  poisoned: boolean
  cuts: number | undefined
  parts: 'apart' | 'together'
}

const plain: Call = {
  first: 0,
  end: Number.POSITIVE_INFINITY,
  before: 0,
  padding: 0,
  poisoned: false,
  cuts: undefined,
  parts: 'together',
}

const ROWS = ['output', 'denominator', 'logsumexp', 'entropy', 'weights', 'maskedScores'] as const
const GRADIENTS = ['gradQ', 'gradK', 'gradV'] as const

/** Runs the call, forward and backward; gives what belongs to the problem. */
function run(kernels: AttentionKernels, precision: Precision, p: Problem, call: Call) {
  wasm.reset()
  const own = numbersOf(p)
  const end = Math.min(call.end, p.queries)
  const queries = end - call.first
  const keys = p.keys + call.padding
  const heads = call.before + 1
  const noise = normalNumbers(uniformNumbers(p.seed + 1))
  const allocate = (type: BufferType, length: number) => wasm.allocate(type, length)
  const reals = (length: number) => allocate(precision, length)
  /** [heads, rows, width]: the problem's rows stand in the last head, other numbers before and after them */
  const tensor = (rows: number, width: number, of: Float32Array, skip = 0) => {
    const all = reals(heads * rows * width)
    for (let i = 0; i < all.length; i++) all[i] = Math.fround(20 * noise())
    const data = of.subarray(skip * width, (skip + rows) * width)
    all.set(data, call.before * rows * width)
    return all
  }
  const q = tensor(queries, p.dimK, own.q, call.first)
  if (call.poisoned && call.before > 0) q[0] = Number.NaN
  const intervals = allocate('int32', 2 * heads * queries) as Int32Array
  const mask = p.mask === 'bool' ? allocate('uint8', heads * queries * keys) : reals(heads * queries * keys)
  for (let h = 0; h < heads; h++) {
    for (let i = 0; i < queries; i++) {
      intervals.set(own.interval(call.first + i), 2 * (h * queries + i))
      for (let j = 0; j < p.keys; j++) {
        const value = own.mask[(call.first + i) * p.keys + j]
        mask[(h * queries + i) * keys + j] = p.mask === 'bool' ? Number(value > -1e9) : value
      }
    }
  }
  const parts = Math.max(1, Math.min(4, Math.floor(p.keys / 96)))
  const apart = call.parts === 'apart'
  const args: BackwardArgs = {
    batch: heads,
    heads: 1,
    kvHeads: 1,
    queries,
    keys,
    dimK: p.dimK,
    dimV: p.dimV,
    scale: 0.37,
    softcap: p.softcap,
    intervalStrides: [queries, 0],
    shift: call.first + p.keys - p.queries,
    maskKind: p.mask,
    maskStrides: p.mask === 'none' ? [0, 0, 0, 0] : [queries * keys, 0, keys, 1],
    earlier: 0,
    distances: 0,
    firstDistance: 0,
    dropoutP: 0,
    seedLow: 0,
    seedHigh: 0,
    nonFinite: call.poisoned,
    parts,
    apart,
  }
  const rows = heads * queries
  const slopes = reals(1).fill(own.slope)
  const scalars = p.entropy ? (allocate('float64', 2) as Float64Array) : undefined
  scalars?.set([0, 0.1])
  const t = {
    q,
    k: tensor(keys, p.dimK, own.k),
    v: tensor(keys, p.dimV, own.v),
    gradOutput: tensor(queries, p.dimV, own.gradOutput, call.first),
    intervals,
    mask: p.mask === 'none' ? undefined : mask,
    slopes: p.alibi ? slopes : undefined,
    scalars,
    output: reals(rows * p.dimV),
    denominator: allocate('float64', 2 * rows) as Float64Array,
    logsumexp: allocate('float64', rows) as Float64Array,
    entropy: p.entropy ? reals(rows) : undefined,
    weights: reals(rows * keys),
    maskedScores: reals(rows * keys),
    delta: reals((apart ? parts : 1) * rows),
    gradQ: reals(rows * p.dimK),
    gradQParts: reals((apart ? parts - 1 : Math.min(1, parts - 1)) * rows * p.dimK),
    gradK: reals(heads * keys * p.dimK),
    gradV: reals(heads * keys * p.dimV),
  }
  // the keys behind the problem's own are padding: they take no part in the number of the parts
  const scratch = precision === 'float64' ? 0 : wasm.scratch(scratchBytes(attentionForward, args))
  for (const [from, to] of ranges(attentionForward.units(args), 1, call.cuts)) {
    kernels.attentionForward(t as never, args, from, to, scratch)
  }
  const chain = attentionBackward.chain?.(args) ?? 1
  for (const [from, to] of ranges(attentionBackward.units(args), chain, call.cuts)) {
    kernels.attentionBackward(t as never, args, from, to, scratch)
  }
  if (apart) for (let at = 0; at < t.gradQParts.length; at++) t.gradQ[at % t.gradQ.length] += t.gradQParts[at]
  const found: Record<string, number[][]> = {}
  const byRow = (name: string, values: ArrayLike<number> | undefined, count: number, width: number) => {
    if (values === undefined) return
    const row = (r: number) => {
      const at = (call.before * count + r) * width
      return Array.from({ length: width }, (_, x) => values[at + x])
    }
    found[name] = Array.from({ length: count }, (_, r) => row(r))
  }
  byRow('output', t.output, queries, p.dimV)
  byRow('denominator', t.denominator, queries, 2)
  byRow('logsumexp', t.logsumexp, queries, 1)
  byRow('entropy', t.entropy, queries, 1)
  byRow('weights', t.weights, queries, keys)
  byRow('maskedScores', t.maskedScores, queries, keys)
  byRow('gradQ', t.gradQ, queries, p.dimK)
  byRow('gradK', t.gradK, keys, p.dimK)
  byRow('gradV', t.gradV, keys, p.dimV)
  return found
}

/** Of each result the rows [first, end), and of maps the problem's keys. */
function rowsOf(
  found: Record<string, number[][]>,
  names: readonly string[],
  keys: number,
  first = 0,
  end = 1e9,
) {
  return Object.fromEntries(
    names.flatMap(name => {
      const rows = found[name]
      if (rows === undefined) return []
      const isMap = name === 'weights' || name === 'maskedScores'
      return [[name, rows.slice(first, end).map(row => (isMap ? row.slice(0, keys) : row))]]
    }),
  )
}

describe.each(SETS)('%s kernels give a row the same bits', (_, kernels, precision) => {
  const numRuns = precision === 'float64' ? 60 : 150
  const chunk = fc.tuple(fc.nat(100), fc.nat(100))

  it('in a chunk of its queries, behind other heads, with padding after the keys', () => {
    fc.assert(
      fc.property(
        problems,
        chunk,
        fc.nat(2),
        fc.nat(200),
        fc.boolean(),
        (p, [a, b], before, padding, nan) => {
          const whole = run(kernels, precision, p, plain)
          const first = a % p.queries
          const end = first + 1 + (b % (p.queries - first))
          const part = run(kernels, precision, p, { ...plain, first, end, before, padding, poisoned: nan })
          expect(rowsOf(part, ROWS, p.keys)).toEqual(rowsOf(whole, ROWS, p.keys, first, end))
        },
      ),
      { numRuns },
    )
  })

  it('and its inputs the same gradients, behind other heads, in parts apart or not, in any cut', () => {
    fc.assert(
      fc.property(problems, fc.nat(2), fc.nat(1000), fc.boolean(), (p, before, cuts, nan) => {
        const names = [...ROWS, ...GRADIENTS]
        const whole = rowsOf(run(kernels, precision, p, plain), names, p.keys)
        const call: Call = { ...plain, before, cuts, parts: 'apart', poisoned: nan }
        expect(rowsOf(run(kernels, precision, p, call), names, p.keys)).toEqual(whole)
      }),
      { numRuns },
    )
  })
})
