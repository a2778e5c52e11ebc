import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Step } from '../../workers/contract.ts'
import { ProgramBuilder } from '../layers/program-builder.ts'
import { type BufferSpec, BYTES } from '../program.ts'
import { planMemory } from './memory-plan.ts'

/** A step that does nothing but name its buffers. */
function naming(buffers: number[]): Step {
  return {
    op: 'lossTotal',
    tensors: Object.fromEntries(buffers.map((buffer, index) => [`t${index}`, buffer])),
    args: {},
    phase: 'compute',
    units: 1,
    chain: 1,
    flops: 0,
    bytes: 0,
  } as unknown as Step
}

const bufferSpec: fc.Arbitrary<BufferSpec> = fc.record({
  type: fc.constantFrom('float64' as const, 'float32' as const, 'int32' as const, 'uint8' as const),
  length: fc.integer({ min: 0, max: 300 }),
  keep: fc.boolean(),
  preloaded: fc.boolean(),
})

it('buffers that one stage needs together never share memory', () => {
  const programs = fc.record({
    specs: fc.array(bufferSpec, { minLength: 1, maxLength: 12 }),
    stages: fc.array(fc.array(fc.array(fc.nat(11), { maxLength: 4 }), { minLength: 1, maxLength: 3 }), {
      maxLength: 8,
    }),
    barriers: fc.array(fc.record({ stage: fc.nat(7), buffers: fc.array(fc.nat(11), { maxLength: 3 }) }), {
      maxLength: 4,
    }),
  })
  fc.assert(
    fc.property(programs, ({ specs, stages, barriers }) => {
      const within = (ref: number) => ref % specs.length
      const p = new ProgramBuilder('float32')
      for (const spec of specs) p.buffer({ ...spec })
      for (const stage of stages) p.stage(...stage.map(refs => naming(refs.map(within))))
      for (const { stage, buffers } of barriers) {
        if (p.stages.length > 0)
          p.barriers.push({ stage: stage % p.stages.length, buffers: buffers.map(within) })
      }
      p.barriers.sort((a, b) => a.stage - b.stage)
      const { offsets, bytes } = planMemory(p)
      const life = specs.map((spec, buffer) => {
        const used = p.stages.flatMap((steps, stage) =>
          steps.some(step => Object.values(step.tensors).includes(buffer)) ? [stage] : [],
        )
        // what a barrier names is read until the next barrier has been passed
        for (const [index, { stage, buffers }] of p.barriers.entries()) {
          if (buffers.includes(buffer)) used.push(stage, p.barriers[index + 1]?.stage ?? p.stages.length)
        }
        const first = spec.preloaded ? 0 : Math.min(...used, p.stages.length)
        const needed = used.length > 0 || spec.keep || spec.preloaded
        return { needed, first, last: Math.max(...used, first, spec.keep ? p.stages.length : 0) }
      })
      for (let a = 0; a < specs.length; a++) {
        const end = offsets[a] + specs[a].length * BYTES[specs[a].type]
        expect(end).toBeLessThanOrEqual(bytes)
        expect(offsets[a] % 64).toBe(0)
        for (let b = 0; b < a; b++) {
          if (!life[a].needed || !life[b].needed) continue
          if (life[a].first > life[b].last || life[b].first > life[a].last) continue
          const endB = offsets[b] + specs[b].length * BYTES[specs[b].type]
          const apart = end <= offsets[b] || endB <= offsets[a]
          expect(apart || specs[a].length === 0 || specs[b].length === 0).toBe(true)
        }
      }
    }),
    { numRuns: 1000 },
  )
})

it('a chain of steps needs two buffers at a time, and a part stands within its whole', () => {
  const p = new ProgramBuilder('float32')
  const chain = Array.from({ length: 20 }, () => p.reals(1024))
  for (let i = 1; i < chain.length; i++) p.stage(naming([chain[i - 1], chain[i]]))
  expect(planMemory(p).bytes).toBe(2 * 4096)
  const part = p.part(chain[19], 100, 10)
  p.keep(part)
  const { offsets } = planMemory(p)
  expect(offsets[part]).toBe(offsets[chain[19]] + 400)
  expect(p.buffers[chain[19]].keep).toBe(true)
})

it('gives the lowest place that is free, to the largest first', () => {
  const p = new ProgramBuilder('float32')
  const [small, large, next, constant, behind] = [10, 1000, 500, 3, 990].map(length => p.reals(length))
  p.buffers[constant].data = [1, 2, 3]
  p.stage(naming([small, large]))
  p.stage(naming([large, next, constant]))
  p.stage(naming([next, behind]))
  p.barriers.push({ stage: p.stages.length - 1, buffers: [next] })
  // bytes, in multiples of 64: 64, 4032, 2048, 64, 3968
  const { offsets, bytes } = planMemory(p)
  expect(offsets).toEqual([4032, 0, 4160, 4096, 0])
  expect(bytes).toBe(6208)
})

/** Whether two buffers of a plan have a byte in common. */
function share(p: ProgramBuilder, a: number, b: number): boolean {
  const { offsets } = planMemory(p)
  const end = (buffer: number) => offsets[buffer] + p.buffers[buffer].length * BYTES[p.buffers[buffer].type]
  return offsets[a] < end(b) && offsets[b] < end(a)
}

it('large buffers find the holes before small ones fill them', () => {
  const p = new ProgramBuilder('float32')
  const [large, kept, small, later] = [p.reals(256), p.reals(16), p.reals(16), p.reals(256)]
  p.keep(kept)
  p.stage(naming([large, kept]))
  p.stage(naming([small, later]))
  const { offsets, bytes } = planMemory(p)
  expect(offsets[later]).toBe(offsets[large])
  expect(bytes).toBe(1024 + 64 + 64)
})

it('a part takes no memory of its own', () => {
  const p = new ProgramBuilder('float32')
  const whole = p.reals(16)
  const part = p.part(whole, 4, 8)
  p.stage(naming([whole]))
  p.stage(naming([part]))
  expect(planMemory(p)).toEqual({ offsets: [0, 16], bytes: 64 })
})

it('what stands elsewhere takes no memory here', () => {
  const p = new ProgramBuilder('float32')
  const elsewhere = p.buffer({ type: 'float32', length: 1000, at: 65536 })
  const here = p.reals(16)
  p.stage(naming([elsewhere, here]))
  expect(planMemory(p)).toEqual({ offsets: [-1, 0], bytes: 64 })
})

it('what has no elements stands at 0 and takes nothing', () => {
  const p = new ProgramBuilder('float32')
  const [some, none] = [p.reals(16), p.reals(0)]
  p.stage(naming([some]))
  p.stage(naming([some, none]))
  p.stage(naming([some]))
  expect(planMemory(p)).toEqual({ offsets: [0, 0], bytes: 64 })
})

it('constants are there from the beginning', () => {
  const p = new ProgramBuilder('float32')
  const early = p.reals(16)
  const constant = p.buffer({ type: 'float32', length: 16, data: [1] })
  p.stage(naming([early]))
  p.stage(naming([constant]))
  expect(share(p, early, constant)).toBe(false)
})

it('the flag that a step asks about non-finite numbers is there while it runs', () => {
  const p = new ProgramBuilder('float32')
  const [flag, other] = [p.reals(16), p.reals(16)]
  p.stage(naming([flag]))
  p.stage({ ...naming([other]), nonFinite: flag })
  expect(share(p, flag, other)).toBe(false)
  const q = new ProgramBuilder('float32')
  const [before, after] = [q.reals(16), q.reals(16)]
  q.stage(naming([before]))
  q.stage(naming([after]))
  expect(share(q, before, after)).toBe(true)
})

it('tensors that a step does not have are left out', () => {
  const p = new ProgramBuilder('float32')
  const [x] = [p.reals(16)]
  const step = naming([x])
  p.stage({ ...step, tensors: { ...step.tensors, missing: undefined } } as unknown as Step)
  expect(planMemory(p).bytes).toBe(64)
})
