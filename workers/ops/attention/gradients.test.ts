/** Every gradient of the reference against central differences of its own forward pass, in float64. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type AttentionCase, buildCase } from '../../../test/support/attention-case.ts'
import {
  referenceKernels,
  runBackward,
  runForward,
  runMaskGradient,
} from '../../../test/support/attention-runs.ts'
import { type AttentionSpec, attentionSpecs, plainSpec } from '../../../test/support/attention-spec.ts'

const STEP = 1e-5
const TOLERANCE = 1e-6

/** L = Σ gradOutput·output + c·Σ entropy */
function loss(c: AttentionCase): number {
  runForward(referenceKernels, c)
  let sum = 0
  for (let i = 0; i < c.output.length; i++) sum += c.gradOutput[i] * c.output[i]
  const coefficient = c.scalars?.[1] ?? 0
  for (const entropy of c.entropy) sum += coefficient * entropy
  return sum
}

function expectGradients(spec: AttentionSpec, picks: number[]): void {
  const c = buildCase(spec)
  loss(c)
  runBackward(referenceKernels, c)
  if (c.gradMask) runMaskGradient(referenceKernels, c)
  const pairs = [
    ['q', c.q, c.gradQ],
    ['k', c.k, c.gradK],
    ['v', c.v, c.gradV],
    ['mask', c.maskShape && c.mask, c.gradMask],
  ] as const
  for (const [name, x, gradient] of pairs) {
    if (x === undefined || gradient === undefined || x.length === 0) continue
    const largest = Math.max(1e-3, ...Array.from(gradient, Math.abs))
    for (const pick of picks) {
      const at = pick % x.length
      const value = x[at]
      if (value === Number.NEGATIVE_INFINITY) {
        expect(gradient[at], `${name}[${at}] is masked`).toBe(0)
        continue
      }
      x[at] = value + STEP
      const above = loss(c)
      x[at] = value - STEP
      const below = loss(c)
      x[at] = value
      const difference = (above - below) / (2 * STEP)
      const error = Math.abs(difference - gradient[at]) / largest
      expect(error, `${name}[${at}]: ${gradient[at]} by formula, ${difference} by differences`).toBeLessThan(
        TOLERANCE,
      )
    }
  }
}

const picks = fc.array(fc.nat(), { minLength: 6, maxLength: 6 })

describe('attention backward', () => {
  it('over random masks and options', () => {
    const specs = attentionSpecs({ dimK: [1, 3, 7], dimV: [1, 3, 7] })
    fc.assert(fc.property(specs, picks, expectGradients), { numRuns: 400 })
  })

  it.each<[string, Partial<AttentionSpec>]>([
    ['plain', {}],
    ['grouped heads', { group: 3, kvHeads: 2 }],
    ['causal, bottom right, N ≠ M', { causal: true, alignment: 'bottom_right', queries: 5, keys: 9 }],
    ['softcap', { softcap: 2 }],
    ['dropout', { dropoutP: 0.5, seedLow: 3, keys: 17 }],
    ['entropy', { entropyCoefficient: 0.7, keys: 9 }],
    [
      'float mask, broadcast everywhere',
      { maskKind: 'float', maskBroadcast: [true, true, true, true], batch: 2, group: 2 },
    ],
    [
      'float mask over keys',
      { maskKind: 'float', maskBroadcast: [true, true, true, false], batch: 2, entropyCoefficient: 0.5 },
    ],
    ['more than one key block', { keys: 200, queries: 7, entropyCoefficient: -0.2, dropoutP: 0.1 }],
  ])('%s', (_name, more) => {
    for (let seed = 1; seed <= 5; seed++) {
      expectGradients(
        { ...plainSpec, ...more, seed },
        Array.from({ length: 12 }, (_, i) => i * 7919 + seed),
      )
    }
  })
})
