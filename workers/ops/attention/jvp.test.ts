/** Forward mode in float32: no further from float64 than twice a plain float32 evaluation is. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type AttentionSpec, attentionSpecs, plainSpec } from '../../../test/support/attention-spec.ts'
import { squaredError, squaredRounding } from '../../../test/support/error-budget.ts'
import { type OpCase, plainOutputs, unitsOf } from '../../../test/support/op-case.ts'
import { RUNNERS, type Runner, truthOf } from '../../../test/support/op-runner.ts'
import { plainJvp } from '../../../test/support/plain-jvp.ts'
import { FORWARD_BLOCK } from '../../layout.ts'
import { forwardCase, jvpCase, withSinks } from './jvp-cases.ts'
import { type AttentionArgs, type JvpTensors, KEPT_TILES } from './op.ts'

/** Every output, and every tangent. */
const every = [true, true, true, true, true, true]
const ELEMENTS = 512

/** The case with the denominator that the runner's own forward pass gives. */
function ofRunner(runner: Runner, c: OpCase): OpCase {
  const args = c.args as AttentionArgs
  const { denominator } = runner.run(forwardCase(args, c.inputs), {}).outputs
  const sunk = withSinks(args, c.inputs, denominator as Float64Array)
  return { ...c, inputs: { ...c.inputs, denominator: sunk } }
}

function expectWithinBudget(spec: AttentionSpec, wanted = every, elements = ELEMENTS): void {
  const first = jvpCase(spec, wanted)
  const repeats = Math.ceil(elements / Math.min(...Object.values(first.outputs)))
  const sums: Record<string, { plain: number; floor: number; errors: Record<string, number> }> = {}
  for (let seed = 0; seed < repeats; seed++) {
    const c = jvpCase({ ...spec, seed: spec.seed + 6 * seed }, wanted)
    const plain = (['ascending', 'descending'] as const).map(order => {
      const results = plainOutputs(c)
      plainJvp(c.inputs as unknown as JvpTensors, c.args as AttentionArgs, unitsOf(c), order, results)
      return results
    })
    const truth = truthOf(c)
    for (const [name, right] of Object.entries(truth)) {
      sums[name] ??= { plain: 0, floor: 0, errors: {} }
      sums[name].plain += Math.max(...plain.map(results => squaredError(results[name], right)))
      sums[name].floor += squaredRounding(right)
    }
    for (const runner of RUNNERS.filter(({ wasm }) => wasm)) {
      const { outputs } = runner.run(ofRunner(runner, c), {})
      for (const [name, right] of Object.entries(truth)) {
        const { errors } = sums[name]
        errors[runner.name] = (errors[runner.name] ?? 0) + squaredError(outputs[name], right)
      }
    }
  }
  const over = Object.entries(sums).flatMap(([name, { plain, floor, errors }]) => {
    const budget = Math.sqrt(Math.max(4 * plain, floor))
    return Object.entries(errors).flatMap(([variant, error]) =>
      Math.sqrt(error) <= budget ? [] : [`${variant} ${name}: ${Math.sqrt(error)} > ${budget}`],
    )
  })
  expect(over, JSON.stringify(spec)).toEqual([])
}

it('attention in forward mode has the NaN and infinities that float64 has', () => {
  const sizes = { queries: [3, 30], keys: [5, 97, 150], dimK: [5], dimV: [4], poison: true }
  for (const spec of fc.sample(attentionSpecs(sizes), { seed: 5, numRuns: 40 })) {
    const c = jvpCase(spec, every)
    const kinds = (values: ArrayLike<number>) => Array.from(values, x => (Number.isFinite(x) ? 0 : x))
    const [truth, ...others] = RUNNERS.map(runner => runner.run(ofRunner(runner, c), {}).outputs)
    for (const outputs of others) {
      for (const [name, right] of Object.entries(truth)) {
        expect(kinds(outputs[name]), `${name} ${JSON.stringify(spec)}`).toEqual(kinds(right))
      }
    }
  }
})

describe('attention in forward mode, in float32, is within twice the error of a plain evaluation', () => {
  it('over every option', () => {
    const sizes = { batch: [1], queries: [3, 17, 30], keys: [3, 97, 128, 200], dimK: [5, 16], dimV: [7, 16] }
    for (const spec of fc.sample(attentionSpecs(sizes), { seed: 11, numRuns: 24 })) expectWithinBudget(spec)
  })

  it.each([
    ['plain', {}],
    ['causal', { causal: true }],
    ['softcap', { softcap: 30 }],
    ['ALiBi and a float mask', { alibi: true, maskKind: 'float' as const }],
  ])('scores near ±100, where rows attend to almost one key: %s', (_, options) => {
    const sizes = { queries: 59, keys: 150, dimK: 64, dimV: 17 }
    expectWithinBudget({ ...plainSpec, ...sizes, magnitude: 5.8, ...options })
  })

  it('scores near ±100 with few keys, where a few rows with a near tie make nearly all of the error', () => {
    const sizes = { queries: 17, keys: 3, dimK: 5, dimV: 7 }
    expectWithinBudget({ ...plainSpec, ...sizes, magnitude: 20 }, every, 3400)
  })

  it.each([
    ['one after the other', {}],
    ['with masks', { softcap: 3, causal: true, maskKind: 'float' as const }],
  ])('dimensions that are packed in parts: %s', (_, options) => {
    const outputs = [true, true, false, true, true, true]
    expectWithinBudget({ ...plainSpec, queries: 9, keys: 140, dimK: 300, dimV: 270, ...options }, outputs)
  })

  it.each([
    ['more keys than tiles can be kept of', {}],
    ['the same, masked', { causal: true, alignment: 'bottom_right' as const, softcap: 5 }],
    ['a window over them', { windowLeft: 300, windowRight: 0, alignment: 'bottom_right' as const }],
  ])('%s', (_, options) => {
    const keys = (KEPT_TILES + 1) * FORWARD_BLOCK - 5
    const outputs = [true, false, false, true, true, true]
    expectWithinBudget({ ...plainSpec, queries: 27, keys, dimK: 5, dimV: 4, ...options }, outputs)
  })

  it.each([
    ['of v alone', [true, true, true, false, false, true]],
    ['of q alone', [true, true, true, true, false, false]],
    ['of k alone', [true, true, true, false, true, false]],
    ['of sinks alone, or of nothing', [true, true, true, false, false, false]],
    ['of logsumexp alone', [false, false, true, true, true, true]],
  ])('tangents %s', (_, wanted) => {
    const some = { ...plainSpec, queries: 59, keys: 300, dimK: 16, dimV: 7, group: 2 }
    expectWithinBudget(some, wanted)
    expectWithinBudget({ ...some, causal: true, seed: 2 }, wanted)
  })
})
