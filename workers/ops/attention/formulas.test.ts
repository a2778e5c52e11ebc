/**
 * Fixed cases of awkward sizes against the formulas in plain float32: what is judged here is what is computed, not how
 * exactly. Units run one by one, and write nothing that is another's.
 */
import { describe, expect, it } from 'vitest'
import { type AttentionCase, buildCase } from '../../../test/support/attention-case.ts'
import { type AttentionSpec, plainSpec } from '../../../test/support/attention-spec.ts'
import { inUnits } from '../../../test/support/in-units.ts'
import { plainFloat32, type Results } from '../../../test/support/plain-attention.ts'
import { attentionBackward, attentionForward, attentionMaskGradient } from './op.ts'
import * as reference from './reference/index.ts'

const BOTH = { batch: 2, group: 2, dimK: 2, dimV: 3 }
const SPECS: [string, Partial<AttentionSpec>][] = [
  ['plain', { queries: 59, keys: 7, ...BOTH, kvHeads: 2 }],
  ['several blocks of keys', { queries: 3, keys: 200, ...BOTH, kvHeads: 2, group: 3 }],
  ['blocks of keys in two parts', { queries: 3, keys: 300, ...BOTH, parts: 2, entropyCoefficient: 0.3 }],
  ['more parts than blocks', { queries: 3, keys: 200, ...BOTH, parts: 4 }],
  ['causal, behind a past', { queries: 26, keys: 31, ...BOTH, causal: true, pastKeys: 9 }],
  [
    'bottom right, with padding',
    {
      ...{ queries: 26, keys: 31, ...BOTH, causal: true, alignment: 'bottom_right' },
      ...{ qLengths: [26, 17], kvLengths: [20, 31], alibi: true },
    },
  ],
  ['a window', { queries: 26, keys: 31, ...BOTH, windowLeft: 3, windowRight: 1, pastKeys: 2, alibi: true }],
  ['a cap, and dropout', { queries: 5, keys: 21, ...BOTH, softcap: 2, dropoutP: 0.4, seedLow: 5 }],
  ['a bool mask for each head', { queries: 27, keys: 11, ...BOTH, maskKind: 'bool', softcap: 1.5 }],
  ['a float mask', { queries: 5, keys: 101, ...BOTH, maskKind: 'float', entropyCoefficient: -0.5, parts: 2 }],
  [
    'a float mask of keys',
    { queries: 27, keys: 11, ...BOTH, maskKind: 'float', maskBroadcast: [false, true, true, false] },
  ],
  [
    'a float mask of rows',
    { queries: 27, keys: 11, ...BOTH, maskKind: 'float', maskBroadcast: [true, false, false, true] },
  ],
  [
    'a float mask of heads',
    { queries: 3, keys: 11, ...BOTH, maskKind: 'float', maskBroadcast: [true, false, true, true] },
  ],
]
type Kernel = (t: never, a: AttentionCase['args'], from: number, to: number) => void
const MAPS = ['scores', 'maskedScores', 'weights', 'droppedWeights'] as const

function expectNear(computed: ArrayLike<number>, right: Float32Array, name: string): void {
  expect(computed.length, name).toBe(right.length)
  const wrong = Array.from(right).findIndex((value, i) => {
    return value !== computed[i] && !(Math.abs(value - computed[i]) < 1e-4 * (1 + Math.abs(value)))
  })
  expect(wrong < 0 ? 'near' : `${name}[${wrong}]: ${computed[wrong]}, not ${right[wrong]}`).toBe('near')
}

/** The case's tensors without what is not asked for. */
function asking(c: AttentionCase, written: Record<string, unknown>) {
  const optional = ['entropy', ...MAPS, 'gradQ', 'gradQParts', 'gradK', 'gradV', 'delta']
  return { ...c, ...Object.fromEntries(optional.map(name => [name, undefined])), ...written }
}

/** One result of the forward kernel, or of the maps' own. */
function forward(c: AttentionCase, name: keyof Results, kernel: Kernel) {
  return inUnits(c[name as 'output'].length, attentionForward.units(c.args), (into, unit) => {
    const rows = c.logsumexp.length
    const written = { output: new Float64Array(c.output.length), logsumexp: new Float64Array(rows) }
    const own = kernel === reference.attentionMaps ? { logsumexp: c.logsumexp } : written
    kernel(asking(c, { ...own, [name]: into }) as never, c.args, unit, unit + 1)
  })
}

describe.each(SPECS)('%s', (_name, more) => {
  // made where they are first asked for: a case that fails early need not wait for the others
  let made: { c: AttentionCase; right: Results } | undefined
  const problem = () => {
    const c = buildCase({ ...plainSpec, ...more, seed: 11 })
    made ??= { c, right: plainFloat32(c, 'ascending') }
    return made
  }

  it('forward: each result by itself', () => {
    const { c, right } = problem()
    for (const name of ['output', 'logsumexp', 'entropy', ...MAPS] as const) {
      expectNear(forward(c, name, reference.attentionForward), right[name], name)
    }
  })

  it('the maps afterwards', () => {
    const { c, right } = problem()
    reference.attentionForward(c, c.args, 0, attentionForward.units(c.args))
    for (const name of MAPS) expectNear(forward(c, name, reference.attentionMaps), right[name], name)
  })

  it('backward, the chains of units in turns', () => {
    const { c, right } = problem()
    reference.attentionForward(c, c.args, 0, attentionForward.units(c.args))
    const { args: a } = c
    for (const each of ['delta', 'gradQ', 'gradQParts', 'gradK', 'gradV'] as const) c[each].fill(Number.NaN)
    const [units, chain] = [attentionBackward.units(a), attentionBackward.chain?.(a) ?? 1]
    for (let step = 0; step < chain; step++) {
      for (let unit = units - chain + step; unit >= 0; unit -= chain) {
        reference.attentionBackward(c, a, unit, unit + 1)
      }
    }
    for (let at = 0; at < c.gradQParts.length; at++) c.gradQ[at % c.gradQ.length] += c.gradQParts[at]
    for (const name of ['gradQ', 'gradK', 'gradV'] as const) expectNear(c[name], right[name], name)
  })

  it('backward, each gradient by itself', () => {
    const { c, right } = problem()
    reference.attentionForward(c, c.args, 0, attentionForward.units(c.args))
    for (const name of ['gradK', 'gradV'] as const) {
      const into = new Float64Array(c[name].length).fill(Number.NaN)
      const t = asking(c, { entropy: c.entropy, delta: c.delta, [name]: into })
      reference.attentionBackward(t as never, c.args, 0, attentionBackward.units(c.args))
      expectNear(into, right[name], name)
    }
  })

  if (more.maskKind !== 'float') return

  it('the gradient of its mask', () => {
    const { c, right } = problem()
    reference.attentionForward(c, c.args, 0, attentionForward.units(c.args))
    const args = { ...c.args, maskShape: c.maskShape }
    const gradMask = inUnits(c.gradMask?.length ?? 0, attentionMaskGradient.units(args), (into, unit) =>
      reference.attentionMaskGradient({ ...c, gradMask: into }, args, unit, unit + 1),
    )
    expectNear(gradMask, right.gradMask, 'gradMask')
  })
})

describe('what is not attended', () => {
  it.each(['bool', 'float'] as const)('may be NaN behind a %s mask', maskKind => {
    const spec = {
      ...plainSpec,
      queries: 3,
      keys: 5,
      maskKind,
      dropoutP: 0.2,
      softcap: 3,
      alibi: true,
      seed: 2,
    }
    const results = [0, Number.NaN].map(hidden => {
      const c = buildCase(spec)
      const { args: a, mask } = c
      if (mask === undefined || a.dimK !== a.dimV) throw new Error()
      // key 1 is nobody's, and row 2 attends to nothing
      for (let i = 0; i < 3; i++) {
        for (let j = 0; j < 5; j++) {
          const attended = j !== 1 && i !== 2
          const free = maskKind === 'bool' ? 1 : 0.5
          mask[5 * i + j] = attended ? free : maskKind === 'bool' ? 0 : Number.NEGATIVE_INFINITY
        }
      }
      for (const tensor of [c.k, c.v]) tensor.fill(hidden, a.dimK, 2 * a.dimK)
      for (const tensor of [c.q, c.gradOutput]) tensor.fill(hidden, 2 * a.dimK, 3 * a.dimK)
      reference.attentionForward({ ...c, scores: undefined } as never, a, 0, attentionForward.units(a))
      reference.attentionBackward(c, a, 0, attentionBackward.units(a))
      const args = { ...a, maskShape: c.maskShape }
      if (c.gradMask) reference.attentionMaskGradient({ ...c, gradMask: c.gradMask }, args, 0, 1)
      const names = ['output', 'logsumexp', 'entropy', 'maskedScores', 'weights', 'droppedWeights'] as const
      return [...names, ...(['gradQ', 'gradK', 'gradV', 'gradMask'] as const)].map(name => c[name])
    })
    expect(results[1]).toEqual(results[0])
    expect(results[0].flatMap(values => Array.from(values ?? [])).some(Number.isNaN)).toBe(false)
  })
})
