/** Of a model's last layer of which only the maps are wanted, nothing behind them is computed. */
import type { Ref } from '../../workers/contract.ts'
import type { OutputTensor } from '../layers/outputs.ts'
import type { RequestProgram } from '../layers/program-builder.ts'

/** Stages between two pauses. */
const PAUSE = 256

/**
 * Leaves out the steps that compute what nothing reads: no step behind them, no frame and no answer. What came in is checked in any case.
 * To be called when all is there but the steps that write the answer.
 */
export function* dropUnread(p: RequestProgram): Generator<void, void> {
  const { buffers, stages } = p
  const written = p.written()
  const read = new Uint8Array(buffers.length)
  const rootOf = (ref: Ref) => buffers[ref].within?.buffer ?? ref
  const isRead = (ref: Ref | undefined) => ref !== undefined && read[rootOf(ref)] === 1
  const note = (ref: Ref | undefined) => {
    if (ref !== undefined) read[rootOf(ref)] = 1
  }
  const noteOutputs = (outputs: OutputTensor[]) => {
    for (const { buffer, guide } of outputs) for (const ref of [buffer, guide]) note(ref)
  }
  for (const [buffer, { keep }] of buffers.entries()) if (keep) note(buffer)
  noteOutputs(p.outputs)
  for (const { outputs, skip } of p.barriers) {
    noteOutputs(outputs)
    note(skip?.id)
  }
  for (let stage = stages.length - 1; stage >= 0; stage--) {
    const steps = stages[stage].filter(step => {
      const tensors: Record<string, Ref | undefined> = step.tensors
      const into = written.get(step) ?? []
      if (step.phase === 'compute' && into.length > 0 && !into.some(name => isRead(tensors[name])))
        return false
      const noValues = step.op === 'attentionForward' && !isRead(tensors.output)
      // of an attention whose maps alone are wanted, the values have no elements
      if (noValues) step.args = { ...step.args, dimV: 0 }
      for (const [name, ref] of Object.entries(tensors)) if (!noValues || name !== 'v') note(ref)
      note(step.nonFinite)
      return true
    })
    // in its place, for the stage that reads what came in is still added to
    if (steps.length < stages[stage].length) stages[stage].splice(0, Number.POSITIVE_INFINITY, ...steps)
    if (stage % PAUSE === 0) yield
  }
}
