/** ∂L/∂weights against differences of the loss, each weight taken as a variable of its own. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type AttentionCase, buildCase } from '../../../test/support/attention-case.ts'
import { referenceKernels, runForward, runMaps } from '../../../test/support/attention-runs.ts'
import { attentionSpecs } from '../../../test/support/attention-spec.ts'
import { execute } from '../../../test/support/run-program.ts'
import type { Precision } from '../../../workers/contract.ts'
import { dropoutKeys, keepFactor } from '../../../workers/ops/dropout.ts'
import { RequestProgram } from '../program-builder.ts'
import { type Scores, softmaxMaps } from './softmax.ts'
import type { Attended } from './variants/variant.ts'
import { weightGradient } from './weight-gradient.ts'

const PAGE = 65536

/** The gradient by the program's own steps. */
function byProgram(c: AttentionCase, precision: Precision, nonFinite: boolean): number[] {
  const p = new RequestProgram(precision, nonFinite ? 'propagate' : 'reject')
  if (p.nonFinite !== undefined) p.buffers[p.nonFinite].data = [1]
  const reals = (x: ArrayLike<number>) => p.reals(x.length, x)
  const { args, mask, slopes, intervals, shifts, denominator } = c
  const integers = (x: Int32Array | undefined) => x && p.buffer({ type: 'int32', length: x.length, data: x })
  const entropyTerm = c.scalars?.[1] ? p.buffer({ type: 'float64', length: 2, data: c.scalars }) : undefined
  const bytes = args.maskKind === 'bool'
  const scores: Scores = {
    args,
    area: 1,
    nonFinite: p.nonFinite,
    q: reals(c.q),
    k: reals(c.k),
    mask: mask && (bytes ? p.buffer({ type: 'uint8', length: mask.length, data: mask }) : reals(mask)),
    slopes: slopes && reals(slopes),
    intervals: integers(intervals),
    shifts: integers(shifts),
  }
  const attended: Attended = {
    scores,
    v: reals(c.v),
    output: reals(c.output),
    denominator: p.buffer({ type: 'float64', length: denominator.length, data: denominator }),
    logsumexp: p.buffer({ type: 'float64', length: 0 }),
    written: {},
    maps: (p, others, names) => softmaxMaps(p, others, attended.denominator, names),
    backward: () => ({}),
  }
  const gradient = weightGradient(p, attended, reals(c.gradOutput), entropyTerm)
  p.output('gradient', gradient, [c.weights.length])
  p.finish()
  return execute(p, PAGE, 3).tensors.gradient.data
}

/** What L(O) + c·H has of one weight p: the loss is a sum of such terms. */
function lossOfPair(c: AttentionCase, row: number, j: number, p: number): number {
  const { keys, dimV, heads, kvHeads, queries } = c.args
  const [b, h] = [Math.floor(row / (heads * queries)), Math.floor(row / queries) % heads]
  const key = (b * kvHeads + Math.floor((h * kvHeads) / heads)) * keys + j
  const kept = keepFactor(c.args, dropoutKeys(c.args, row), j) * p
  let loss = -(c.scalars?.[1] ?? 0) * p * Math.log(p)
  for (let d = 0; d < dimV; d++) loss += kept * c.gradOutput[row * dimV + d] * c.v[key * dimV + d]
  return loss
}

function expectGradient(c: AttentionCase, gradient: number[], tolerance: number): void {
  const { keys } = c.args
  const largest = Math.max(1e-3, ...gradient.map(Math.abs))
  for (let row = 0; row < c.logsumexp.length; row++) {
    for (let j = 0; j < keys; j++) {
      const at = row * keys + j
      if (c.maskedScores[at] === Number.NEGATIVE_INFINITY) {
        expect(gradient[at], `pair ${at} is not attended`).toBe(0)
        continue
      }
      const step = 1e-4 * c.weights[at]
      const moved = (by: number) => lossOfPair(c, row, j, c.weights[at] + by)
      const difference = (moved(step) - moved(-step)) / (2 * step)
      const error = Math.abs(difference - gradient[at]) / largest
      expect(error, `pair ${at}: ${gradient[at]}, by differences ${difference}`).toBeLessThan(tolerance)
    }
  }
}

function solved(spec: Parameters<typeof buildCase>[0]): AttentionCase {
  const c = buildCase(spec)
  runForward(referenceKernels, c)
  runMaps(referenceKernels, c)
  return c
}

describe('the gradient of the weights', () => {
  it.each([
    ['float64', 1e-6],
    ['float32', 2e-5],
  ] as const)('is that of the loss, over every option, in %s', (precision, tolerance) => {
    fc.assert(
      fc.property(attentionSpecs(), spec => {
        const c = solved(spec)
        expectGradient(c, byProgram(c, precision, false), tolerance)
      }),
      { numRuns: 150 },
    )
  })

  it('sees nothing of what stands in padding or behind masks', () => {
    fc.assert(
      fc.property(
        attentionSpecs(),
        fc.constantFrom('float64' as const, 'float32' as const),
        (spec, precision) => {
          const c = solved(spec)
          const { batch, heads, kvHeads, queries, keys, dimV } = c.args
          const clean = byProgram(c, precision, true)
          for (let row = 0; row < batch * heads * queries; row++) {
            const attends = c.logsumexp[row] !== Number.NEGATIVE_INFINITY
            if (!attends) c.gradOutput.fill(Number.NaN, row * dimV, (row + 1) * dimV)
          }
          for (let b = 0; b < batch; b++) {
            const from = c.kvLengths?.[b] ?? keys
            for (let head = b * kvHeads; head < (b + 1) * kvHeads; head++) {
              c.v.fill(Number.NaN, (head * keys + from) * dimV, (head + 1) * keys * dimV)
            }
          }
          expect(byProgram(c, precision, true)).toEqual(clean)
        },
      ),
      { numRuns: 150 },
    )
  })
})
