/** What a run needs of the connection that it belongs to. */
import type { ModelStart } from '../../endpoints/models/start.ts'
import type { StartMessage } from '../../endpoints/stream-messages.ts'
import type { Intake } from '../../pipeline/decode.ts'
import type { Problem } from '../../problem.ts'
import type { RunTraces } from '../telemetry/runs.ts'
import type { FrameType } from './frame-fields.ts'
import type { HeldMemory, HeldRun } from './held-runs.ts'
import type { Limits } from './run-clock.ts'
import type { SendQueue } from './send-queue.ts'

export type AnyStart = StartMessage | ModelStart

export interface RunContext<R> extends Limits {
  intake: Intake
  queue: SendQueue
  /** where runs are traced */
  traces: RunTraces | undefined
  /** whose connection it is */
  client: string | undefined
  /** fires when the connection is gone */
  closed: AbortSignal
  /** Throws where no such run may begin. */
  mayBegin(message: AnyStart): void
  /** From now on its id is taken, and the next message is read. */
  begun(run: R): void
  /** a message with tensors has left */
  sent(type: FrameType): void
  /** Its memory waits for the client, who has let it wait before; `giveWay` is called where others need it. */
  hold(memory: HeldMemory, giveWay: (problem: Problem) => void): HeldRun
  /** What is kept of it is to go. */
  forget(run: R): void
  /** A message that is half on its way to a client who does not read it is to go, and the connection with it. */
  cutOff(): void
}
