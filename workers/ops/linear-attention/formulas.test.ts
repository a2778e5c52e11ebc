/** Fixed cases of awkward sizes against the sum over all pairs; the units run one by one, in no order. */
import { describe, expect, it } from 'vitest'
import { type AttentionCase, buildCase, ownMemory } from '../../../test/support/attention-case.ts'
import { type AttentionSpec, plainSpec } from '../../../test/support/attention-spec.ts'
import { plainKernels } from '../../../test/support/family-kernels.ts'
import { runLinear } from '../../../test/support/linear-attention-runs.ts'
import { linearByTheBook } from '../../../test/support/plain-linear-attention.ts'
import { linearAttention } from './index.ts'
import { feature, featureSlope } from './reference/features.ts'

const RESULTS = ['output', 'gradQ', 'gradK', 'gradV'] as const
const BOTH = { batch: 2, kvHeads: 1, group: 2, dimK: 2, dimV: 3 }
const SPECS: [string, Partial<AttentionSpec>][] = [
  ['one chunk', { ...BOTH, kvHeads: 2, group: 3, queries: 5, keys: 7 }],
  ['several chunks', { ...BOTH, queries: 200, keys: 100 }],
  ['padding', { ...BOTH, queries: 20, keys: 100, qLengths: [13, 0], kvLengths: [97, 41] }],
  ['causal', { ...BOTH, kvHeads: 2, group: 3, queries: 9, keys: 9, causal: true }],
  ['causal, several chunks', { ...BOTH, batch: 1, queries: 200, keys: 200, causal: true }],
  ['causal, whole chunks', { ...BOTH, batch: 1, group: 1, queries: 192, keys: 192, causal: true }],
  ['causal, behind a past', { ...BOTH, batch: 1, queries: 50, keys: 220, causal: true, pastKeys: 50 }],
  ['causal, more keys than rows reach', { ...BOTH, queries: 20, keys: 120, causal: true }],
  [
    'causal, with rows that see nothing',
    { ...BOTH, batch: 1, queries: 200, keys: 111, causal: true, alignment: 'bottom_right' },
  ],
  [
    'causal, with padding',
    { ...BOTH, kvHeads: 2, queries: 120, keys: 130, causal: true, qLengths: [100, 3], kvLengths: [30, 130] },
  ],
  [
    'causal, bottom right, with padding',
    {
      ...{ ...BOTH, queries: 120, keys: 110, causal: true, alignment: 'bottom_right' },
      ...{ qLengths: [117, 20], kvLengths: [100, 110] },
    },
  ],
]

const run = (c: AttentionCase) =>
  runLinear(c, {
    kernels: plainKernels(linearAttention),
    precision: 'float64',
    allocate: ownMemory,
    // even: every unit by itself, in random order
    cuts: 2,
  })

describe.each(SPECS)('%s', (_name, more) => {
  const spec = { ...plainSpec, ...more, seed: 5 }
  it('is the sum over all pairs, forward and backward', () => {
    const [c, right] = [buildCase(spec), linearByTheBook(buildCase(spec))]
    run(c)
    for (const name of RESULTS) {
      const largest = right[name].reduce((most, value) => Math.max(most, Math.abs(value)), 1)
      const wrong = right[name].findIndex((x, i) => !(Math.abs(x - c[name][i]) < 1e-11 * largest))
      expect(wrong < 0 ? 'near' : `${name}[${wrong}]: ${c[name][wrong]}, not ${right[name][wrong]}`).toBe(
        'near',
      )
    }
  })

  it.each(['gradK', 'gradV'] as const)('writes %s alone, too', name => {
    const whole = buildCase(spec)
    run(whole)
    const other = name === 'gradK' ? 'gradV' : 'gradK'
    const c = { ...buildCase(spec), [other]: undefined } as unknown as AttentionCase
    run(c)
    expect(c[name]).toEqual(whole[name])
  })

  it('never reads what is padding', () => {
    if (spec.qLengths === undefined) return
    const [clean, dirty] = [buildCase(spec), buildCase(spec)]
    const { batch, heads, kvHeads, queries, keys, dimK, dimV } = dirty.args
    for (let b = 0; b < batch; b++) {
      const [n, m] = [dirty.qLengths?.[b] ?? queries, dirty.kvLengths?.[b] ?? keys]
      for (let head = b * heads; head < (b + 1) * heads; head++) {
        dirty.q.fill(Number.NaN, (head * queries + n) * dimK, (head + 1) * queries * dimK)
        dirty.gradOutput.fill(Number.NaN, (head * queries + n) * dimV, (head + 1) * queries * dimV)
      }
      for (let head = b * kvHeads; head < (b + 1) * kvHeads; head++) {
        dirty.k.fill(Number.NaN, (head * keys + m) * dimK, (head + 1) * keys * dimK)
        dirty.v.fill(Number.NaN, (head * keys + m) * dimV, (head + 1) * keys * dimV)
      }
    }
    run(clean)
    run(dirty)
    for (const name of RESULTS) expect(dirty[name]).toEqual(clean[name])
  })
})

it('a row whose features are below every number is the mean that it is with larger ones', () => {
  const outputs = [-1e4, -1].map(q => {
    const c = buildCase({ ...plainSpec, causal: true })
    c.q.fill(q)
    run(c)
    return Array.from(c.output)
  })
  for (const [index, value] of outputs[0].entries()) expect(value).toBeCloseTo(outputs[1][index], 12)
  expect(outputs[0].some(value => value !== 0)).toBe(true)
})

describe('the feature of an element', () => {
  it('is its exponential below 0 and x + 1 above, without a step between', () => {
    expect([-2, 0, 3].map(feature)).toEqual([Math.exp(-2), 1, 4])
  })

  it('has the slope of its exponential below 0 and 1 above', () => {
    expect([-2, 0, 3].map(featureSlope)).toEqual([Math.exp(-2), 1, 1])
  })
})
