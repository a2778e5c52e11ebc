import { expect, it } from 'vitest'
import { lossTotal } from '../../workers/ops/loss/op.ts'
import { qkNormForward } from '../../workers/ops/qk-norm/op.ts'
import { ProgramBuilder } from './program-builder.ts'

function copying(p: ProgramBuilder, x: number, y: number, units: number) {
  return p.step(qkNormForward, { x, y }, { rows: units, dim: 1, kind: 'l2', eps: 1 })
}

it('steps that have nothing to write vanish, whatever their units', () => {
  const p = new ProgramBuilder('float64')
  const slopes = p.reals(2, [1, 2])
  const empty = p.reals(0)
  p.stage(copying(p, slopes, empty, 2 ** 46))
  p.stage(copying(p, p.reals(3), empty, 2 ** 46))
  p.stage(copying(p, empty, p.reals(0), 2 ** 46))
  p.stage(copying(p, p.reals(3), p.reals(3), 0))
  expect(p.stages).toEqual([])
  p.stage(copying(p, slopes, slopes, 2))
  p.stage(copying(p, slopes, p.reals(5), 5), copying(p, empty, empty, 3))
  p.stage(copying(p, empty, p.reals(1), 1))
  expect(p.stages.map(steps => steps.map(({ units }) => units))).toEqual([[2], [5], [1]])
})

it('a step stays that writes into what has data beforehand', () => {
  const p = new ProgramBuilder('float64')
  const scalars = p.buffer({ type: 'float64', length: 2, data: [0, 0] })
  p.stage(p.step(lossTotal, { scalars }, { partials: 0, rows: 0, entropyWeight: 0 }))
  expect(p.stages).toHaveLength(1)
})

it('a stage of more units than workers can count is refused', () => {
  const p = new ProgramBuilder('float64')
  const x = p.reals(1, [1])
  const refusal = expect.objectContaining({ code: 'COMPUTE_TOO_LARGE', status: 413 })
  for (const units of [2 ** 31, 2 ** 53, 2 ** 60, Number.POSITIVE_INFINITY])
    expect(() => p.stage(copying(p, x, p.reals(1), units))).toThrow(refusal)
  expect(() => p.stage(...[1, 2].map(() => copying(p, x, p.reals(1), 2 ** 30)))).toThrow(refusal)
  p.stage(copying(p, x, p.reals(1), 2 ** 31 - 1))
  expect(p.stages).toHaveLength(1)
})
