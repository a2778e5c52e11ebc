/** Where a run goes on on another server: the same request gives the same frames, and those that its client has are not sent again. */
import type { StartMessage } from '../../endpoints/stream-messages.ts'
import type { Frame } from '../../layers/outputs.ts'

export type Resume = NonNullable<StartMessage['resume']>

type Barriers = { barriers: Frame[] }

/** Whether the frame of a program's barrier is to be sent. */
export function isWanted(index: number, { barriers }: Barriers, resume: Resume | undefined): boolean {
  if (resume === undefined) return true
  const { pass, from_layer, stack } = resume
  const first = barriers.findIndex(
    each => each.pass === pass && each.layer === from_layer && each.stack === stack,
  )
  return index >= first
}

/** What a client says to another server, `last` being the last frame that has left: the next one, or that again where only the end is missing. */
export function resumeAt(
  { id, resume }: Pick<StartMessage, 'id' | 'resume'>,
  { barriers }: Barriers,
  last: Record<string, unknown> | undefined,
): Resume {
  if (last === undefined && resume !== undefined) return { ...resume, id }
  const left = barriers.findIndex(
    ({ pass, layer, stack }) => pass === last?.pass && layer === last.index && stack === last.stack,
  )
  const next = barriers[Math.min(left + 1, barriers.length - 1)]
  const { pass, layer, stack } = next ?? { pass: 'forward', layer: 0, stack: undefined }
  return { id, pass, from_layer: layer, ...(stack && { stack }) }
}
