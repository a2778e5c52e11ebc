/** Reads every tensor of a request once, before anything is computed: what is wrong in the data is a 400 at once. */
import type { Ref, Step } from '../../workers/contract.ts'
import type { Engine } from '../engine/engine.ts'
import { planMemory } from '../engine/memory-plan.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { dataProblem } from '../pipeline/data-fault.ts'
import { type BufferSpec, BYTES, type Program } from '../program.ts'

/** Bytes of tensors that are read at a time. */
const GROUP_BYTES = 64 << 20

export async function checkData(program: RequestProgram, engine: Engine, signal: AbortSignal): Promise<void> {
  for (const steps of groups(program)) {
    const checked = alone(program, steps)
    const admitted = engine.admit(checked, planMemory(checked))
    using lease = admitted instanceof Promise ? await admitted : admitted
    const { fault } = await engine.run(lease, signal)
    if (fault !== undefined) throw dataProblem(fault, program)
  }
}

/** The steps that read tensors, in the order of the request. */
function groups({ stages, buffers }: Program): Step[][] {
  const all: Step[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const step of stages.flat().filter(({ op }) => op === 'decodeTensor')) {
    const { type, length } = buffers[(step.tensors as { into: Ref }).into]
    bytes += length * BYTES[type]
    if (bytes > GROUP_BYTES) {
      all.push([])
      bytes = length * BYTES[type]
    }
    all[all.length - 1].push(step)
  }
  return all
}

/** The program of some of its steps: buffers that they do not name take no memory. */
function alone({ buffers, scratchBytes }: Program, steps: Step[]): Program {
  const named = new Set<number>()
  for (const { tensors, nonFinite } of steps) {
    for (const ref of [...Object.values(tensors), nonFinite]) {
      if (ref === undefined) continue
      named.add(ref)
      const { within } = buffers[ref]
      if (within !== undefined) named.add(within.buffer)
    }
  }
  const specs = buffers.map(
    ({ keep: _, ...spec }, ref): BufferSpec => (named.has(ref) ? spec : { type: spec.type, length: 0 }),
  )
  return { buffers: specs, stages: [steps], barriers: [], scratchBytes }
}
