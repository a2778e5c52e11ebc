import { expect, it } from 'vitest'
import type { Step } from '../../workers/contract.ts'
import type { Program } from '../program.ts'
import { Admission, type Lease, MOST_STEPS } from './admission.ts'
import { Arena } from './arena.ts'
import { CostModel } from './cost-model.ts'

it('admits no more programs than the heap has room for, and again when one has ended', () => {
  const limits = {
    THREADS: 1,
    MEMORY_BYTES: 1 << 20,
    MAX_REQUEST_BYTES: 1 << 20,
    MAX_FLOPS: 1e9,
    QUEUE_SECONDS: 1e9,
  }
  const load = { ready: true, backlogSeconds: 0, secondsBefore: () => 0 }
  const admission = new Admission(limits, new Arena(limits.MEMORY_BYTES), new CostModel(), load)
  const step = { tensors: {}, precision: 'float32', units: 1, flops: 0, bytes: 0 } as unknown as Step
  const program = (steps: number): Program => ({
    buffers: [],
    stages: [new Array(steps).fill(step)],
    barriers: [],
    scratchBytes: 0,
  })
  const held = admission.admit(program(MOST_STEPS)) as Lease
  const one = admission.admit(program(1)) as Lease
  expect(() => admission.admit(program(1))).toThrow(/programs of other requests/)
  held[Symbol.dispose]()
  admission.admit(program(1))
  one[Symbol.dispose]()
})
