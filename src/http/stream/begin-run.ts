/** A `start` that has been read → the run that it asks for: of a stack, or of a model. */
import { ModelRun } from '../../endpoints/models/stream.ts'
import { STREAM_RUN, type StreamRun } from '../../endpoints/stream-run.ts'
import type { ModelStore } from '../../models/store.ts'
import type { Decoded } from '../../pipeline/decode.ts'
import { serve } from '../../pipeline/serve.ts'
import { Run } from './run.ts'
import type { AnyStart, RunContext } from './run-context.ts'

/** `served` settles when nothing of the run is computed or sent any more. */
export function beginRun(
  context: RunContext<Run>,
  body: Decoded,
  models: ModelStore,
): { run: Run; served: Promise<unknown> } {
  const { model } = body.tree as { model?: unknown }
  if (model === undefined) {
    const run = new Run(context, body.bytes, STREAM_RUN.accepted as StreamRun<AnyStart>['accepted'])
    return { run, served: serve(STREAM_RUN, body, run, context.intake, run.signal) }
  }
  const of = new ModelRun(models, message => run.begin(message))
  const run = new Run(context, body.bytes, () => of.accepted())
  const serving = serve(of, body, run, context.intake, run.signal)
  return { run, served: serving.finally(() => of[Symbol.dispose]()) }
}
