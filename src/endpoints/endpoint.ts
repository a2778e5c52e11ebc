/** What a compute endpoint is: the one file of a resource says all of it. */
import type * as z from 'zod'
import { type TensorKinds, tensorKinds } from '../formats/tensor-fields.ts'
import type { RequestProgram } from '../layers/program-builder.ts'

/** Shared memory that goes with a request's body. */
export interface Room {
  room(bytes: number): Uint8Array
}

/** How a request becomes a program: all that serving it takes. */
export interface Compilable<R = unknown> {
  request: z.ZodType<R>
  /** Layers that are compiled one after the other, where there may be many; the way then pauses behind each of them. */
  layers?(request: R): number
  /** What takes its time, or elements of the request, before the program is built. It ends when the signal fires. */
  prepare?(request: R, body: Room, signal: AbortSignal): Promise<void>
  /** A program of another kind than most; where `programBeside` names a field, only beside that field. */
  program?(request: R): RequestProgram | undefined
  programBeside?: string
  /** Throws the Problem that says what is wrong between the fields. Reads no tensor's elements, takes no memory. */
  compile(p: RequestProgram, request: R): Generator<void> | void
}

/** What can be planned without the elements of its tensors. */
export interface Plannable<R = unknown> extends Compilable<R> {
  /** the request with {"shape": […]} standing for tensors, for `POST /v1/plan` */
  shapes: z.ZodType<R>
}

export interface Endpoint<R = unknown> extends Plannable<R> {
  path: string
  /** name in OpenAPI's operationId */
  name: string
  summary: string
  answer: z.ZodType
  /** the answer as something to read: what `Accept` asks for, and what it then is */
  reports?: Record<string, string>
}

interface Definition<R> extends Omit<Endpoint<R>, 'request' | 'shapes'> {
  /** the request's schema over tensors with elements, or over shapes alone */
  request(tensors: TensorKinds): z.ZodType<R>
}

export function defineEndpoint<R>({ request, ...rest }: Definition<R>): Endpoint<R> {
  return { ...rest, request: request(tensorKinds(false)), shapes: request(tensorKinds(true)) }
}
