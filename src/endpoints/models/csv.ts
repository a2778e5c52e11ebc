/** The maps of a model as comma-separated values (RFC 4180): a line a row and key, those of padding left out. */
import type { OutputTensor } from '../../layers/outputs.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import type { LoadedModel } from '../../models/loaded.ts'
import { Problem } from '../../problem.ts'
import type { Compilable } from '../endpoint.ts'
import type { PreparedTokens } from './context.ts'
import { compiledLayers, prepareTokens } from './endpoint.ts'
import { compileForward, ForwardRequestSchema } from './forward.ts'
import type { ForwardRequest } from './request.ts'

export const CSV_TYPE = 'text/csv'
const HEADER = 'item,map,layer,head,query,query_token,key,key_token,value\r\n'
/** Lines of an answer: about 200 MB. */
const MOST_LINES = 4_000_000
/** Lines that are written at a time: about a millisecond. */
const LINES = 500
const MAP = /^(cross_)?(weights|scores|masked_scores|softcapped_scores)$/
const GRADIENTS = ['grad_weights', 'grad_cross_weights'] as const

/** What such an answer is made of: the maps that `return` and `emit` name, or else weights. */
function csvRequest(request: ForwardRequest, { plan }: LoadedModel): ForwardRequest {
  const maps = request.return.filter(name => MAP.test(name))
  const emit = GRADIENTS.filter(name => request.emit?.includes(name))
  const cross = plan.spec.encoder === undefined ? [] : (['cross_weights'] as const)
  return {
    ...request,
    return: maps.length + emit.length > 0 ? maps : ['weights', ...cross],
    next_tokens: undefined,
    top_keys: undefined,
    relevance: undefined,
    generate: undefined,
    backward: emit.length > 0 ? request.backward : undefined,
    emit: emit.length > 0 ? emit : undefined,
  }
}

/** A model whose maps are written as comma-separated values, once they are there. */
export interface MapsEndpoint extends Compilable<ForwardRequest> {
  maps: CsvMap[]
}

export function modelMaps(model: LoadedModel): MapsEndpoint {
  let prepared: PreparedTokens | undefined
  return {
    maps: [],
    request: ForwardRequestSchema,
    layers: request => compiledLayers(request, model, prepared),
    async prepare(request, body, signal) {
      prepared = await prepareTokens(request, model, body, signal)
    },
    *compile(p, request) {
      const tokens = prepared as PreparedTokens
      const asked = csvRequest(request, model)
      yield* compileForward(p, asked, model, tokens)
      this.maps = csvMaps(p, asked, tokens, model)
    },
  }
}

const PLACE = /^(encoder\.)?layers\.(\d+)\.(.+)$/

/** What the lines of one map [batch, heads, queries, keys] say. */
interface CsvMap {
  output: OutputTensor
  name: string
  layer: number
  heads: readonly number[]
  /** of each item, those that are no padding */
  queries: Named[][]
  keys: Named[][]
}

interface Named {
  at: number
  token: string
}

/** The maps among a program's outputs. Throws a 413 where there are too many lines. */
function csvMaps(
  p: RequestProgram,
  { layers, heads }: ForwardRequest,
  { tokens, nameOf = String }: PreparedTokens,
  { plan }: LoadedModel,
): CsvMap[] {
  const { sizes, encoder } = plan.spec
  const text = Array.from({ length: tokens.batch }, (_, b) => {
    const from = b * tokens.positions
    return Array.from({ length: tokens.positions }, (_, at) => at)
      .filter(at => tokens.real[from + at] !== 0)
      .map(at => ({ at, token: nameOf(tokens.ids[from + at]) }))
  })
  const start = encoder && text.map(() => [{ at: 0, token: nameOf(encoder.start) }])
  let lines = 0
  const maps = p.outputs.splice(0).flatMap((output): CsvMap[] => {
    const [, ofEncoder, place, name] = PLACE.exec(output.name) ?? []
    if (name === undefined || output.shape.length !== 4) return []
    const [queries, keys] =
      ofEncoder === undefined && start ? [start, name.includes('cross_') ? text : start] : [text, text]
    const chosen = heads ?? Array.from({ length: sizes.heads }, (_, head) => head)
    for (const [b, own] of queries.entries()) lines += chosen.length * own.length * keys[b].length
    p.outputs.push(output)
    const layer = layers === undefined ? Number(place) : layers[Number(place)]
    return [{ output, name: `${ofEncoder ?? ''}${name}`, layer, heads: chosen, queries, keys }]
  })
  if (lines > MOST_LINES) {
    const detail = `expected at most ${MOST_LINES} lines of ${CSV_TYPE}, got ${lines}; choose layers and heads, or ask for safetensors`
    throw new Problem('MEMORY_TOO_LARGE', detail)
  }
  return maps
}

/** Pieces of the text. */
export function* csvText(
  maps: readonly CsvMap[],
  valuesOf: (output: OutputTensor) => Float32Array | Float64Array,
  write: (value: number) => string | number,
): Generator<string> {
  let text = HEADER
  let lines = 0
  for (const { output, name, layer, heads, queries, keys } of maps) {
    const values = valuesOf(output)
    const [batch, , rows, width] = output.shape
    for (let b = 0; b < batch; b++) {
      const columns = keys[b].map(({ at, token }) => [at, `${at},${quoted(token)},`] as const)
      for (const [place, head] of heads.entries()) {
        for (const { at: row, token } of queries[b]) {
          const from = ((b * heads.length + place) * rows + row) * width
          const left = `${b},${name},${layer},${head},${row},${quoted(token)},`
          for (const [column, middle] of columns) {
            text += `${left}${middle}${write(values[from + column])}\r\n`
            if (++lines % LINES !== 0) continue
            yield text
            text = ''
          }
        }
      }
    }
  }
  yield text
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
