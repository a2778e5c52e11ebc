/** Where a program stands in memory, and what it costs: all that is needed to run it. */
import type { BufferPlace } from '../../workers/contract.ts'
import type { Program } from '../program.ts'
import type { Cost } from './cost-model.ts'

/** Where a program's buffers and work areas stand. */
export interface Placement {
  buffers: BufferPlace[]
  /** one for each worker */
  scratch: number[]
}

export interface PlacedProgram {
  program: Program
  placement: Placement
  cost: Cost
  /** programs of one group share what others have each */
  group?: string | undefined
}
