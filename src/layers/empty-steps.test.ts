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
  p.barriers.push({ stage: 2, buffers: [] })
  p.stage(copying(p, slopes, slopes, 2))
  p.stage(copying(p, slopes, p.reals(5), 5), copying(p, empty, empty, 3))
  p.barriers.push({ stage: 5, buffers: [] })
  p.stage(copying(p, empty, p.reals(1), 1))
  p.finish()
  expect(p.stages.map(steps => steps.map(({ units }) => units))).toEqual([[], [2], [5], [1]])
  expect(p.barriers.map(({ stage }) => stage)).toEqual([0, 2])
})

it('a step stays that writes into what has data beforehand', () => {
  const p = new ProgramBuilder('float64')
  const scalars = p.buffer({ type: 'float64', length: 2, data: [0, 0] })
  p.stage(p.step(lossTotal, { scalars }, { partials: 0, rows: 0, entropyWeight: 0 }))
  p.finish()
  expect(p.stages).toHaveLength(1)
})

it('a stage of more units than workers can count is refused', () => {
  const finished = (...units: number[]) => {
    const p = new ProgramBuilder('float64')
    const x = p.reals(1, [1])
    p.stage(...units.map(each => copying(p, x, p.reals(1), each)))
    p.finish()
    return p
  }
  const refusal = expect.objectContaining({ code: 'COMPUTE_TOO_LARGE', status: 413 })
  for (const units of [2 ** 31, 2 ** 53, 2 ** 60, Number.POSITIVE_INFINITY])
    expect(() => finished(units)).toThrow(refusal)
  expect(() => finished(2 ** 30, 2 ** 30)).toThrow(refusal)
  expect(finished(2 ** 31 - 1).stages).toHaveLength(1)
})
