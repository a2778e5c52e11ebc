/** The map that a fetch asks for. */
import type { FetchMessage } from '../../endpoints/stream-messages.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import { fieldProblem, type Problem } from '../../problem.ts'

/** Which of the maps that a run keeps, and which of its heads; `reached`: how many of the program's barriers it has passed. */
export function mapOf(
  { barriers, kept }: RequestProgram,
  reached: number,
  { layer, head, tensor, stack, pass }: FetchMessage,
) {
  if (kept.length === 0) throw refused('', 'a run with detail', 'one without')
  const isOf = (at: { stack?: string | undefined; layer: number }) => at.stack === stack && at.layer === layer
  const map = kept.find(each => isOf(each) && each.tensor === tensor)
  if (map === undefined) throw refused('/tensor', 'a map that the run emits', `${tensor} of layer ${layer}`)
  if (pass !== undefined && pass !== map.pass) throw refused('/pass', map.pass, pass)
  const index = map.heads.indexOf(head)
  if (index < 0) throw refused('/head', `one of the run's heads ${map.heads.slice(0, 12).join(', ')}`, head)
  const barrier = barriers.findIndex(each => isOf(each) && each.pass === map.pass)
  if (barrier >= reached) throw refused('/layer', 'a layer that has been computed', layer)
  return { map, index }
}

function refused(path: string, expected: string, got: string | number): Problem {
  return fieldProblem('INVALID_REQUEST', path, `expected ${expected}, got ${got}`)
}
