/** The map that a fetch asks for, and what answers it. */
import type { Compilable } from '../../endpoints/endpoint.ts'
import { FetchMessage } from '../../endpoints/stream-messages.ts'
import { fetchMap } from '../../layers/fetch-map.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import type { Admitted } from '../../pipeline/serve.ts'
import { fieldProblem, type Problem } from '../../problem.ts'

/** One head of a map of a run that has passed `reached` of its program's barriers. */
export function fetchOf(
  { compiled: { program }, lease }: Admitted,
  reached: number,
  message: FetchMessage,
): { endpoint: Compilable<object>; pass: string } {
  const { map, index } = mapOf(program, reached, message)
  const place = lease.placement.buffers[map.buffer]
  const { precision } = program
  return {
    pass: map.pass,
    endpoint: {
      request: FetchMessage.transform(fetch => ({ ...fetch, precision, non_finite: 'reject' as const })),
      compile: p => fetchMap(p, place, map, index),
    },
  }
}

/** Which of the maps that a run keeps, and which of its heads; `reached`: how many of the program's barriers it has passed. */
function mapOf(
  { barriers, kept }: RequestProgram,
  reached: number,
  { layer, head, tensor, stack, pass }: FetchMessage,
) {
  if (kept.length === 0) throw noMaps()
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

/** Of a run that keeps none, or that has not been accepted yet. */
export function noMaps(): Problem {
  return refused('', 'a run with detail', 'one without')
}

function refused(path: string, expected: string, got: string | number): Problem {
  return fieldProblem('INVALID_REQUEST', path, `expected ${expected}, got ${got}`)
}
