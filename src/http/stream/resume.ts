/** Where a run goes on on another server: the same request gives the same frames, and those that its client has are not sent again. */
import { isAt } from '../../endpoints/resume-place.ts'
import type { Resume } from '../../endpoints/stream-messages.ts'
import type { Frame } from '../../layers/outputs.ts'

type Barriers = { barriers: Frame[] }

/** Whether the frame of a program's barrier is to be sent. */
export function isWanted(index: number, { barriers }: Barriers, resume: Resume | undefined): boolean {
  if (resume === undefined) return true
  if (resume.pass === 'done') return false
  return index >= barriers.findIndex(each => isAt(each, resume))
}

/** What a client says to another server, `last` being the last frame that has left: the next one, or that only the end is missing. */
export function resumeAt(
  { id, resume }: { id: string; resume?: Resume | undefined },
  { barriers }: Barriers,
  last: Record<string, unknown> | undefined,
): Resume {
  if (last === undefined && resume !== undefined) return { ...resume, id }
  const left = barriers.findIndex(({ pass, layer, stack, item }) => {
    if (layer !== last?.index) return false
    return pass === 'generate'
      ? last.type === 'token' && item === last.item
      : pass === last.pass && stack === last.stack
  })
  const next = barriers[left + 1]
  if (next === undefined) return { id, pass: 'done' }
  const { pass, layer, stack, item } = next
  if (pass === 'generate') return { id, pass, from_token: layer, item }
  return { id, pass, from_layer: layer, ...(stack && { stack }) }
}
