/** `POST /v1/models/{name}/forward`: a model over tokens, with what its layers and its head say. */
import { poolRows, topTokens } from '../../../workers/ops/tokens/op.ts'
import { tensorKinds } from '../../formats/tensor-fields.ts'
import type { Report } from '../../layers/outputs.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import { headForward } from '../../models/head.ts'
import type { LoadedModel } from '../../models/loaded.ts'
import { ProgramWeights } from '../../models/program-weights.ts'
import { runModel } from '../../models/run.ts'
import type { Tokens } from '../../models/tokens.ts'
import { dropUnread } from '../../models/unread.ts'
import { fieldProblem } from '../../problem.ts'
import { answerBackward } from './backward.ts'
import { type Forward, type PreparedTokens, rowLogits } from './context.ts'
import { answerGenerated, type TokenOutlet } from './generate.ts'
import { asksLayers, layerObserver, type Seen } from './layers.ts'
import { AnswerOutlets, type Asked, mostLayers } from './outlets.ts'
import { readingsOf } from './readings.ts'
import { answerRelevance, relevanceMaps } from './relevance.ts'
import { type ForwardRequest, forwardRequest, layerNames, type ModelRequest } from './request.ts'

export const ForwardRequestSchema = forwardRequest(tensorKinds(false))
export const ForwardShapes = forwardRequest(tensorKinds(true))

/** Everything in one answer. */
export function* compileForward(
  p: RequestProgram,
  request: ForwardRequest,
  model: LoadedModel,
  prepared: PreparedTokens,
): Generator<void> {
  const { backward, emit, heads } = request
  checkRequest(request, model)
  if (emit !== undefined && backward === undefined) {
    throw fieldProblem('INVALID_REQUEST', '/emit', 'expected backward beside emit, got none')
  }
  const names = [...layerNames(request), ...(emit ?? [])]
  const layers = request.layers ?? (asksLayers(names) ? allLayers(model) : [])
  const reports: Report[] = []
  const outlets = new AnswerOutlets(p, reports, layers, heads, model.plan)
  yield* compileModel(p, request, model, prepared, { names, layers, outlets }, reports)
}

export function allLayers({ plan }: LoadedModel): number[] {
  return Array.from({ length: mostLayers(plan) }, (_, layer) => layer)
}

/** `tokens`: where each token goes that is generated, if not into the answer alone. */
export function* compileModel(
  p: RequestProgram,
  request: ModelRequest,
  model: LoadedModel,
  prepared: PreparedTokens,
  asked: Asked,
  reports: Report[],
  tokenOutlet?: TokenOutlet,
): Generator<void> {
  const { plan } = model
  const { tokens, padding } = prepared
  const weights = new ProgramWeights(p, model)
  const seen: Seen = { hidden: { encoder: [], decoder: [] }, attended: [] }
  const readings = readingsOf(request, asked.names, prepared, model)
  const observer = layerObserver(p, asked, readings, relevanceMaps(request), seen)
  const run = yield* runModel(weights, tokens, padding, observer, startTokens(model, tokens))
  const forward: Forward = { p, request, model, weights, prepared, run, asked, reports }
  answerStates(forward, seen.hidden)
  answerHead(forward)
  if (request.backward !== undefined) yield* answerBackward(forward, request.backward)
  yield* answerRelevance(forward, seen.attended)
  if (request.generate !== undefined) yield* answerGenerated(forward, request.generate, tokenOutlet)
  reports.push(() => ({ tokens: toldTokens(prepared) }))
  if (request.heads !== undefined) reports.push(() => ({ heads: request.heads }))
  p.report = read => Object.assign({}, ...reports.map(report => report(read)))
  p.inputShapes.model = [plan.spec.sizes.layers, tokens.batch, tokens.positions]
  yield* dropUnread(p)
}

/** `emit`: further names, beside those of `return`. */
export function checkRequest(
  { return: names, layers, heads }: ModelRequest,
  { plan }: LoadedModel,
  emit: readonly string[] = [],
): void {
  const { sizes, encoder, head, family, stack } = plan.spec
  const within = (name: string, list: number[] | undefined, most: number) => {
    const at = list?.findIndex(index => index >= most) ?? -1
    if (at < 0) return
    const message = `expected one of the model's ${most} ${name}, 0 to ${most - 1}, got ${list?.[at]}`
    throw fieldProblem('INVALID_REQUEST', `/${name}/${at}`, message)
  }
  within('layers', layers, mostLayers(plan))
  within('heads', heads, sizes.heads)
  const refuse = (name: string, message: string) => {
    for (const [field, list] of Object.entries({ return: names as readonly string[], emit })) {
      const at = list.indexOf(name)
      if (at >= 0) throw fieldProblem('INVALID_REQUEST', `/${field}/${at}`, message)
    }
  }
  if (encoder === undefined) {
    const cross = [...names, ...emit].find(name => /^(grad_)?cross_/.test(name))
    if (cross !== undefined)
      refuse(cross, `expected what a model of family ${family} has, which has no encoder beside it`)
  }
  if (head === undefined) {
    for (const name of ['logits', 'next_tokens'])
      refuse(name, `expected a model with a language-model head; ${plan.name} has none`)
  }
  if (!stack.causal) refuse('present', `expected a causal model, ${plan.name} is none`)
}

/** A decoder behind an encoder begins with one token. */
function startTokens({ plan }: LoadedModel, { batch }: Tokens): Tokens | undefined {
  const { encoder } = plan.spec
  if (encoder === undefined) return undefined
  const ids = new Int32Array(batch).fill(encoder.start)
  return { batch, positions: 1, ids, real: new Int32Array(batch).fill(1) }
}

function answerStates({ p, request, run, model, prepared }: Forward, hidden: Seen['hidden']): void {
  const { dModel } = model.plan.spec.sizes
  const { return: names } = request
  for (const stack of [run.encoder, run.decoder]) {
    if (stack === undefined) continue
    const prefix = stack.role === 'encoder' ? 'encoder.' : ''
    const { batch, positions } = stack.embedded.tokens
    const shape = [batch, positions, dModel]
    if (names.includes('output')) p.output(`${prefix}output`, stack.state.output, shape)
    if (!names.includes('hidden')) continue
    const states = [...hidden[stack.role].slice(0, -1), stack.state.output]
    for (const [index, state] of states.entries()) p.output(`${prefix}hidden.${index}`, state, shape)
  }
  if (!names.includes('embedding')) return
  const { batch, positions } = prepared.tokens
  const y = p.reals(batch * dModel)
  const { pooling } = request
  const x = (run.encoder ?? run.decoder).state.output
  const real = p.buffer({ type: 'int32', length: batch * positions, data: prepared.tokens.real })
  const args = { batch, positions, dim: dModel, pooling, normalised: true }
  p.stage(p.step(poolRows, { x, real, y }, args))
  p.output('embedding', y, [batch, dModel])
}

function answerHead(forward: Forward): void {
  const { p, request, run, weights, model, reports, prepared } = forward
  const { head, sizes } = model.plan.spec
  const { batch, positions } = run.decoder.embedded.tokens
  if (request.return.includes('logits') && head !== undefined) {
    const { logits } = headForward(weights, head, run.decoder.state.output, batch * positions)
    p.output('logits', logits, [batch, positions, sizes.vocabulary])
  }
  if (!request.return.includes('next_tokens') && request.next_tokens === undefined) return
  const top = Math.min(request.next_tokens?.top ?? 10, sizes.vocabulary)
  const { head: rows } = rowLogits(forward, run, -1, '/next_tokens')
  const found = p.buffer({ type: 'float64', length: 2 * batch * top })
  p.stage(
    p.step(topTokens, { logits: rows.logits, found }, { rows: batch, vocabulary: sizes.vocabulary, top }),
  )
  p.keep(found)
  reports.push(read => {
    const values = read(found)
    const list = (b: number, at: number) =>
      Array.from({ length: top }, (_, rank) => values[2 * (b * top + rank) + at])
    const items = Array.from({ length: batch }, (_, b) => b)
    const ids = items.map(b => list(b, 0))
    const { nameOf } = prepared
    const strings = nameOf && { strings: ids.map(row => row.map(nameOf)) }
    return { next_tokens: { ids, ...strings, probabilities: items.map(b => list(b, 1)) } }
  })
}

/** Of what was asked about, as answers have it. */
export function toldTokens({ tokens, nameOf }: PreparedTokens): ToldTokens {
  const { batch, positions, ids, real, strings, offsets } = tokens
  const rows = (of: Int32Array) => {
    return Array.from({ length: batch }, (_, b) =>
      Array.from(of.subarray(b * positions, (b + 1) * positions)),
    )
  }
  const list = rows(ids)
  const names = strings ?? (nameOf && list.map(row => row.map(nameOf)))
  return {
    ids: list,
    ...(names && { strings: names }),
    ...(offsets && { offsets }),
    attention_mask: rows(real),
  }
}

interface ToldTokens {
  ids: number[][]
  strings?: string[][]
  offsets?: [number, number][][]
  attention_mask: number[][]
}
