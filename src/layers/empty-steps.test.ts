import { expect, it } from 'vitest'
import type { StepDraft } from '../../workers/contract.ts'
import { ProgramBuilder } from './program-builder.ts'

function copying(x: number, y: number, units: number): StepDraft {
  const args = { rows: units, dim: 1, kind: 'l2', eps: 1 } as const
  return {
    op: 'qkNormForward',
    tensors: { x, y },
    args,
    phase: 'compute',
    units,
    chain: 1,
    flops: 0,
    bytes: 0,
  }
}

it('steps whose tensors have no elements vanish, whatever their units', () => {
  const p = new ProgramBuilder('float64')
  const slopes = p.reals(2, [1, 2])
  const empty = p.reals(0)
  p.stage(copying(slopes, empty, 2 ** 46))
  p.stage(copying(empty, p.reals(0), 2 ** 46))
  p.stage(copying(p.reals(3), p.reals(3), 0))
  expect(p.stages).toEqual([])
  p.stage(copying(slopes, slopes, 2))
  p.stage(copying(slopes, p.reals(5), 5), copying(empty, empty, 3))
  p.stage(copying(empty, p.reals(1), 1))
  expect(p.stages.map(steps => steps.map(({ units }) => units))).toEqual([[2], [5], [1]])
})

it('a stage of more units than workers can count is refused', () => {
  const p = new ProgramBuilder('float64')
  const x = p.reals(1, [1])
  const refusal = expect.objectContaining({ code: 'COMPUTE_TOO_LARGE', status: 413 })
  for (const units of [2 ** 31, 2 ** 53, 2 ** 60, Number.POSITIVE_INFINITY])
    expect(() => p.stage(copying(x, p.reals(1), units))).toThrow(refusal)
  expect(() => p.stage(...[1, 2].map(() => copying(x, p.reals(1), 2 ** 30)))).toThrow(refusal)
  p.stage(copying(x, p.reals(1), 2 ** 31 - 1))
  expect(p.stages).toHaveLength(1)
})
