/**
 * What every op of the list must do, in both precisions and every variant, on the cases that its family draws:
 * README.md says what a family's `cases.ts` gives.
 */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { expectWithinBudget } from '../../test/support/float32-budget.ts'
import { describeCase, type OpCase, unitsOf } from '../../test/support/op-case.ts'
import { RUNNERS, type Runner } from '../../test/support/op-runner.ts'
import { callLayout, wordsOf } from '../wasm/call-layout.ts'
import { sizeStep } from './define-op.ts'
import { KERNELS, OPS } from './index.ts'

interface FamilyCases {
  cases: fc.Arbitrary<OpCase>
  /** some with an extent of 0 */
  empty: OpCase[]
}

const seeds = fc.integer({ min: 1, max: 1000 })

describe('the list of ops', () => {
  it('has each name once, and each op under its own', () => {
    const names = KERNELS.map(({ op }) => op.name)
    expect(names).toEqual([...new Set(names)])
    for (const { ops, family } of OPS) {
      expect(Object.values(ops).map(op => op.family)).toEqual(Object.values(ops).map(() => family))
      expect(Object.keys(ops).sort()).toEqual(family.ops.map(({ name }) => name).sort())
      for (const [key, op] of Object.entries(ops)) expect(op.name).toBe(key)
    }
  })

  it('has a kernel for each op', () => {
    for (const { op, kernel } of KERNELS) expect(kernel, op.name).toBeTypeOf('function')
  })

  it.each(OPS.map(({ family }) => family))('$name: the words of a call stand apart', family => {
    let end = 0
    for (const { at, type, name } of wordsOf(callLayout(family))) {
      const size = type === 'f64' ? 8 : 4
      expect(at % size, name).toBe(0)
      expect(at, name).toBeGreaterThanOrEqual(end)
      end = at + size
    }
    expect(end).toBeLessThanOrEqual(family.callBytes)
  })
})

for (const { family } of OPS) {
  const { cases, empty }: FamilyCases = await import(`./${family.name}/cases.ts`)
  const inWasm = family.ops.some(({ shared }) => !shared)

  describe(`the ops of ${family.name}`, () => {
    it('all have cases, with extents of 0 and without', () => {
      const names = family.ops.map(({ name }) => name).sort()
      const drawn = fc.sample(cases, { seed: 1, numRuns: 200 }).map(({ op }) => op.name)
      expect([...new Set(drawn)].sort()).toEqual(names)
      expect([...new Set(empty.map(({ op }) => op.name))].sort()).toEqual(names)
    })

    it('cost something wherever they write something, in both precisions, and a number in any case', () => {
      for (const { op, args, inputs, outputs } of [
        ...fc.sample(cases, { seed: 3, numRuns: 200 }),
        ...empty,
      ]) {
        const buffers = [...Object.values(inputs).map(({ length }) => length), ...Object.values(outputs)]
        const tensors = Object.fromEntries(
          [...Object.keys(inputs), ...Object.keys(outputs)].map((n, i) => [n, i]),
        )
        for (const precision of ['float32', 'float64'] as const) {
          const step = { op: op.name, args: { ...args }, tensors, precision, phase: 'compute' as const }
          const sized = { ...step, units: 0, chain: 1, flops: 0, nanoseconds: 0 }
          const wanted = { units: undefined, area: 7, reckoned: 9 }
          sizeStep(
            op,
            sized,
            buffers.map(length => ({ length })),
            wanted,
          )
          const { flops, nanoseconds } = sized
          expect(Number.isFinite(flops) && flops >= 0, op.name).toBe(true)
          expect(Number.isFinite(nanoseconds) && nanoseconds >= 0, op.name).toBe(true)
          const written = Object.values(outputs).some(length => length > 0)
          if (written) expect(nanoseconds, op.name).toBeGreaterThan(0)
        }
      }
    })

    const own = RUNNERS.filter(({ wasm }) => inWasm || !wasm)
    describe.each(own)('$name', runner => {
      it('give the same bits however the range is cut, write all they own, and touch nothing else', () => {
        fc.assert(
          fc.property(cases, seeds, (c, cuts) => {
            expectKept(runner, c, cuts)
          }),
          { numRuns: 100 },
        )
      })

      it('have units that each write elements of their own, unless they form chains', () => {
        const some = fc.sample(cases, { seed: 5, numRuns: 60 })
        for (const c of some) if (c.op.chain === undefined) expectApart(runner, c)
      })

      it('do nothing wrong where an extent is 0', () => {
        for (const c of empty) expectKept(runner, c, 2)
      })

      it('do not see what is hidden from them', () => {
        const hiding = fc.sample(cases, { seed: 7, numRuns: 200 }).filter(c => c.hidden !== undefined)
        for (const c of hiding) {
          const { inputs, hidden = inputs } = c
          expect(runner.run({ ...c, inputs: hidden }, {}).outputs, describeCase(c)).toEqual(
            runner.run(c, {}).outputs,
          )
        }
      })
    })

    if (inWasm) {
      it('stay, in float32, within twice the error of a plain float32 evaluation', () => {
        const judged = fc.sample(cases, { seed: 21, numRuns: 90 }).filter(c => c.plain !== undefined)
        for (const c of judged) expectWithinBudget(c)
      })
    }
  })
}

/** Poisoned once with one pattern and once with another, in one piece and in many: what differs was not written, or twice. */
function expectKept(runner: Runner, c: OpCase, cuts: number): void {
  const whole = runner.run(c, { poison: 0xff })
  const cut = runner.run(c, { poison: 0x5a, cuts })
  expect(cut.outputs, describeCase(c)).toEqual(whole.outputs)
  expect([...whole.touched, ...cut.touched], describeCase(c)).toEqual([])
}

/** Some units by themselves: what two of them write would depend on which thread comes last. */
function expectApart(runner: Runner, c: OpCase): void {
  const units = unitsOf(c)
  const poison = 0x5a
  const writers: Record<string, number[]> = {}
  for (const unit of new Set([0, 1, Math.floor(units / 2), units - 1])) {
    if (unit < 0 || unit >= units) continue
    const { outputs } = runner.run(c, { poison, only: [unit, unit + 1] })
    for (const [name, values] of Object.entries(outputs)) {
      // any byte of a text may be the poison's
      if (values instanceof Uint8Array) continue
      const untouched = values.slice()
      new Uint8Array(untouched.buffer).fill(poison)
      writers[name] ??= Array(values.length).fill(0)
      const counts = writers[name]
      values.forEach((value, i) => {
        if (value !== untouched[i]) counts[i]++
      })
    }
  }
  for (const [name, counts] of Object.entries(writers)) {
    const most = counts.reduce((found, count) => Math.max(found, count), 0)
    expect(most, `${name} of ${describeCase(c)}`).toBeLessThanOrEqual(1)
  }
}
