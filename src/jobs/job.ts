/** A job: what is to be done, and how far it is. Names and numbers alone: what is large lies in the store. */
import type { OfWhole } from '../endpoints/models/endpoint.ts'
import type { BodyFormat } from '../formats/body.ts'
import type { ReplyStyle } from '../pipeline/reply.ts'
import type { Problem } from '../problem.ts'
import type { Part } from './cut/part.ts'

export type JobState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled' | 'expired'

/** Nothing changes any more, but that a result expires. */
export const ENDED: readonly JobState[] = ['done', 'failed', 'cancelled', 'expired']

export interface Progress {
  done: number
  /** 0 before it is known */
  total: number
}

/** A piece of the store. */
export interface Stored {
  name: string
  bytes: number
  /** SHA-256, hexadecimal */
  digest: string
}

/** What is to be done. */
export interface Order {
  id: string
  endpoint: string
  /** the request as it came */
  input: Stored & { format: BodyFormat }
  /** how the answer's tensors are written */
  style: Pick<ReplyStyle, 'encoding' | 'dtype'>
  /** whose it is: a key, or an address */
  owner: string
  /** 0 goes first */
  priority: number
  /** milliseconds since 1970 */
  created: number
  /** where it is too large for one request */
  parts?: Part[]
  /** of a cut one of a model: its batch */
  whole?: OfWhole
  /** of a cut one whose loss is a mean: what a square counts in the whole */
  lossFactor?: number
}

/** A problem as it is answered. */
export type ProblemDocument = ReturnType<Problem['toJSON']>

/** A job as it stands. */
export interface Job {
  order: Order
  state: JobState
  progress: Progress
  /** what ended it, where it has failed */
  problem?: ProblemDocument
  /** where it is done; a safetensors file */
  result?: Stored
  started?: number
  finished?: number
  /** until when its result is kept */
  expires?: number
}
