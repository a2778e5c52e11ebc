/** Where a run goes on on another server: the same request gives the same frames, and those that its client has are not sent again. */
import type { Resume } from '../../endpoints/stream-messages.ts'
import type { Frame } from '../../layers/outputs.ts'

type Barriers = { barriers: Frame[] }

/** Whether the frame of a program's barrier is to be sent. */
export function isWanted(index: number, { barriers }: Barriers, resume: Resume | undefined): boolean {
  if (resume === undefined) return true
  return index >= barriers.findIndex(each => isAt(each, resume))
}

function isAt({ pass, layer, stack, item }: Frame, resume: Resume): boolean {
  if (pass !== resume.pass) return false
  if (pass === 'generate') return layer === resume.from_token && item === resume.item
  return layer === resume.from_layer && stack === resume.stack
}

/** What a client says to another server, `last` being the last frame that has left: the next one, or that again where only the end is missing. */
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
  const next = barriers[Math.min(left + 1, barriers.length - 1)]
  if (next === undefined) return { id, pass: 'forward', from_layer: 0 }
  const { pass, layer, stack, item } = next
  if (pass === 'generate') return { id, pass, from_token: layer, item }
  return { id, pass, from_layer: layer, ...(stack && { stack }) }
}
