/** How far a run is, and what has gone wrong with it. */
import { mayPass, type Problem, wantsKey } from '../page/problem.ts'

export type Phase = 'idle' | 'running' | 'done' | 'cancelled' | 'failed'

export type Trouble =
  /** the run was refused, or failed; it may pass when it is run again */
  | { kind: 'refused'; detail: string; mayPass: boolean }
  /** it wants a key, and what helps is the field for that */
  | { kind: 'locked' }
  /** a message of the page was wrong, which ends no run */
  | { kind: 'message'; detail: string }
  /** the server was never there */
  | { kind: 'unreachable' }
  /** the server was there, and then no more; it may have said why */
  | { kind: 'lost'; detail: string }

/** Of a run that the server has refused. */
export function troubleOf(problem: Problem, detail: string): Trouble {
  return wantsKey(problem) ? { kind: 'locked' } : { kind: 'refused', detail, mayPass: mayPass(problem) }
}

export interface RunStatus {
  phase: Phase
  paused: boolean
  /** layer frames that have come */
  frames: number
  /** of how many; both passes together */
  total: number
  loss: number | undefined
  /** from the start to the first layer, and to the end, in milliseconds */
  firstAfter: number | undefined
  doneAfter: number | undefined
  trouble: Trouble | undefined
  /** the server owes an answer, and nothing has come for a while */
  silent: boolean
  /** how many frames are shown; all of them unless the reader went back */
  shown: number | undefined
}

export const NOTHING: RunStatus = {
  phase: 'idle',
  paused: false,
  frames: 0,
  total: 0,
  loss: undefined,
  firstAfter: undefined,
  doneAfter: undefined,
  trouble: undefined,
  silent: false,
  shown: undefined,
}
