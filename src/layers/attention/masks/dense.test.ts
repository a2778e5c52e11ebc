/** Masks by position beside the same request with their rules written out pair by pair, as a dense mask. */
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Body, drawer } from '../../../../test/support/layer-cases.ts'
import { runProgram } from '../../../../test/support/run-program.ts'

interface Options {
  causal: boolean | 'top_left' | 'bottom_right'
  window?: { left?: number | null; right?: number | null; align?: 'top_left' | 'bottom_right' }
  q_lengths?: number[]
  kv_lengths?: number[]
  prefix_lengths?: number[]
  segments?: { q: number[][]; kv?: number[][] }
}

interface Sizes {
  batch: number
  queries: number
  keys: number
}

/** The rules of CONTRACT, asked of one pair. */
function attends(options: Options, { queries, keys }: Sizes, b: number, i: number, j: number): boolean {
  const { causal, window, q_lengths, kv_lengths, prefix_lengths, segments } = options
  const n = q_lengths?.[b] ?? queries
  const m = kv_lengths?.[b] ?? keys
  const fromRight = i + m - n
  const aligned = causal === 'bottom_right' ? fromRight : i
  if (i >= n || j >= m) return false
  if (causal && j > aligned && !(j < (prefix_lengths?.[b] ?? 0))) return false
  const align = window?.align ?? (causal === 'bottom_right' ? 'bottom_right' : 'top_left')
  const place = align === 'bottom_right' ? fromRight : i
  if (window?.left != null && j < place - window.left) return false
  if (window?.right != null && j > place + window.right) return false
  if (segments === undefined) return true
  const id = segments.q[b][i]
  return id >= 0 && id === (segments.kv ?? segments.q)[b][j]
}

function denseMask(options: Options, sizes: Sizes): boolean[][][][] {
  const upTo = (count: number) => Array.from({ length: count }, (_, index) => index)
  return upTo(sizes.batch).map(b => [
    upTo(sizes.queries).map(i => upTo(sizes.keys).map(j => attends(options, sizes, b, i, j))),
  ])
}

const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 })

const cases = fc
  .record({
    batch: fc.integer({ min: 1, max: 3 }),
    queries: fc.constantFrom(1, 5, 17, 40),
    keys: fc.constantFrom(1, 5, 17, 110),
    kvHeads: fc.constantFrom(1, 2),
    precision: fc.constantFrom('float64', 'float32'),
    floatMask: fc.boolean(),
    seed: fc.nat(1000),
  })
  .chain(sizes => {
    const lengths = (most: number) =>
      optional(fc.array(fc.nat(most), { minLength: sizes.batch, maxLength: sizes.batch }))
    const end = () => optional(fc.option(fc.nat(20)))
    const align = optional(fc.constantFrom('top_left' as const, 'bottom_right' as const))
    const { batch, queries, keys } = sizes
    const ids = (count: number) =>
      fc
        .array(fc.integer({ min: -1, max: 3 }), { minLength: batch * count, maxLength: batch * count })
        .map(drawn => Array.from({ length: batch }, (_, b) => drawn.slice(b * count, (b + 1) * count)))
    const both = fc.record({ q: ids(queries), kv: queries === keys ? optional(ids(keys)) : ids(keys) })
    // in one order in both, some interrupted by padding or missing on one side, or in any order
    const inOrder = both.map(({ q, kv }) => {
      const sorted = (rows: number[][] | undefined) => rows?.map(row => row.toSorted((a, b) => a - b))
      return { q: sorted(q) as number[][], kv: sorted(kv) }
    })
    const options = fc.record({
      causal: fc.constantFrom<Options['causal'][]>(false, true, 'top_left', 'bottom_right'),
      window: optional(fc.record({ left: end(), right: end(), align })),
      q_lengths: lengths(sizes.queries),
      kv_lengths: lengths(sizes.keys),
      prefix_lengths: lengths(sizes.keys),
      segments: optional(fc.oneof(both, inOrder)),
    })
    return fc.record({ sizes: fc.constant(sizes), options })
  })

it('mean what their rules say of every pair, forward and backward', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ sizes, options }) => {
      const { batch, queries, keys, kvHeads, precision, floatMask, seed } = sizes
      if (!options.causal) options.prefix_lengths = undefined
      const draw = drawer(seed)
      const body: Body = {
        q: draw(batch, 2, queries, 5),
        k: draw(batch, kvHeads, keys, 5),
        v: draw(batch, kvHeads, keys, 3),
        precision,
        return: ['output', 'weights', 'masked_scores', 'logsumexp', 'entropy'],
        backward: { grad_output: draw(batch, 2, queries, 3), entropy_weight: 0.3 },
      }
      const allowed = denseMask(options, sizes)
      const bias = draw(batch, 1, queries, keys)
      const dense = allowed.flat(3).map((allows, at) => (allows ? bias.data[at] : '-Infinity'))
      const byRule = await runProgram('/v1/attention', {
        ...body,
        ...options,
        ...(floatMask && { mask: bias }),
      })
      const byMask = await runProgram('/v1/attention', {
        ...body,
        q_lengths: options.q_lengths,
        mask: floatMask ? { shape: bias.shape, data: dense } : allowed,
      })
      expect(Object.keys(byRule.tensors)).toEqual(Object.keys(byMask.tensors))
      const tolerance = precision === 'float64' ? 1e-12 : 2e-5
      for (const [name, { data }] of Object.entries(byMask.tensors)) {
        const found = byRule.tensors[name].data
        for (const [at, value] of data.entries()) {
          const error = Object.is(found[at], value) ? 0 : Math.abs(found[at] - value)
          expect(error, `${name}[${at}]: ${found[at]}, by the dense mask ${value}`).toBeLessThan(tolerance)
        }
      }
    }),
    { numRuns: 60 },
  )
}, 60_000)
