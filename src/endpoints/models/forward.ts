/** `POST /v1/models/{name}/forward`: a model over tokens, with what its layers and its head say. */
import type { Ref } from '../../../workers/contract.ts'
import { takeHeads } from '../../../workers/ops/maps/op.ts'
import { poolRows, topTokens } from '../../../workers/ops/tokens/op.ts'
import { tensorKinds } from '../../formats/tensor-fields.ts'
import type { AttentionState } from '../../layers/attention/index.ts'
import { attentionAnswers, crossNames, requestedResults } from '../../layers/attention/index.ts'
import type { MultiHeadState } from '../../layers/multi-head.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import { presentOutputs } from '../../layers/stack-past.ts'
import { headForward } from '../../models/head.ts'
import type { LoadedModel } from '../../models/loaded.ts'
import { ProgramWeights } from '../../models/program-weights.ts'
import { type Observer, type Role, runModel } from '../../models/run.ts'
import type { Tokens } from '../../models/tokens.ts'
import { fieldProblem } from '../../problem.ts'
import { answerBackward } from './backward.ts'
import { type Forward, type PreparedTokens, rowLogits } from './context.ts'
import { answerGenerated } from './generate.ts'
import { readingsOf } from './readings.ts'
import { answerRelevance, relevanceMaps } from './relevance.ts'
import { type ForwardRequest, forwardRequest } from './request.ts'

export const ForwardRequestSchema = forwardRequest(tensorKinds(false))
export const ForwardShapes = forwardRequest(tensorKinds(true))

export function* compileForward(
  p: RequestProgram,
  request: ForwardRequest,
  model: LoadedModel,
  prepared: PreparedTokens,
): Generator<void> {
  const { plan } = model
  checkRequest(request, model)
  const { tokens, padding } = prepared
  const places = new Map(chosenLayers(request, model).map((layer, place) => [layer, place]))
  const weights = new ProgramWeights(p, model)
  const hidden: Record<Role, Ref[]> = { encoder: [], decoder: [] }
  const attended: AttentionState[] = []
  const readings = readingsOf(request, prepared, model)
  const observer = observerOf(p, request, places, hidden, (role, layer, { attention }) => {
    if (role === 'decoder') attended.push(attention.attention)
    const place = places.get(layer)
    if (place === undefined) return
    const at = `${role === 'encoder' ? 'encoder.' : ''}layers.${place}.`
    readings.layer(p, role, attention.attention, at)
  })
  const run = yield* runModel(weights, tokens, padding, observer, startTokens(model, tokens))
  const forward: Forward = {
    p,
    request,
    model,
    weights,
    prepared,
    run,
    places,
    heads: request.heads,
    reports: readings.reports,
  }
  answerStates(forward, hidden)
  answerHead(forward)
  if (request.backward !== undefined) yield* answerBackward(forward, request.backward)
  yield* answerRelevance(forward, attended)
  if (request.generate !== undefined) yield* answerGenerated(forward, request.generate)
  reportTokens(forward)
  for (const [layer, place] of places) {
    forward.reports.push(() => ({ [`layers.${place}.index`]: layer }))
    if (run.encoder !== undefined && layer < run.encoder.state.shape.layers) {
      forward.reports.push(() => ({ [`encoder.layers.${place}.index`]: layer }))
    }
  }
  if (request.heads !== undefined) forward.reports.push(() => ({ heads: request.heads }))
  p.report = read => Object.assign({}, ...forward.reports.map(report => report(read)))
  p.inputShapes.model = [plan.spec.sizes.layers, tokens.batch, tokens.positions]
}

function checkRequest(
  { return: names, layers, heads, backward, emit }: ForwardRequest,
  { plan }: LoadedModel,
) {
  const { sizes, encoder, head, family, stack } = plan.spec
  const within = (name: string, list: number[] | undefined, most: number) => {
    const at = list?.findIndex(index => index >= most) ?? -1
    if (at < 0) return
    const message = `expected one of the model's ${most} ${name}, 0 to ${most - 1}, got ${list?.[at]}`
    throw fieldProblem('INVALID_REQUEST', `/${name}/${at}`, message)
  }
  within('layers', layers, sizes.layers)
  within('heads', heads, sizes.heads)
  const refuse = (name: string, message: string) => {
    const at = names.indexOf(name as never)
    if (at >= 0) throw fieldProblem('INVALID_REQUEST', `/return/${at}`, message)
  }
  if (encoder === undefined) {
    const cross = names.find(name => name.startsWith('cross_'))
    if (cross !== undefined)
      refuse(cross, `expected what a model of family ${family} has, which has no encoder beside it`)
  }
  if (head === undefined) {
    for (const name of ['logits', 'next_tokens'])
      refuse(name, `expected a model with a language-model head; ${plan.name} has none`)
  }
  if (!stack.causal) refuse('present', `expected a causal model, ${plan.name} is none`)
  if (emit !== undefined && backward === undefined) {
    throw fieldProblem('INVALID_REQUEST', '/emit', 'expected backward beside emit, got none')
  }
}

function chosenLayers(request: ForwardRequest, { plan }: LoadedModel): number[] {
  const { layers, return: names, emit = [] } = request
  if (layers !== undefined) return layers
  const any = readsWeights(request) || emit.length > 0 || names.some(name => PER_LAYER.test(name))
  return any ? Array.from({ length: plan.spec.sizes.layers }, (_, layer) => layer) : []
}

const PER_LAYER = /weights$|scores$|logsumexp$|entropy$|max_score$/

/** Whether readings are asked for of the chosen layers. */
function readsWeights({ return: names, top_keys }: ForwardRequest): boolean {
  return names.includes('head_metrics') || names.includes('top_keys') || top_keys !== undefined
}

/** A decoder behind an encoder begins with one token. */
function startTokens({ plan }: LoadedModel, { batch }: Tokens): Tokens | undefined {
  const { encoder } = plan.spec
  if (encoder === undefined) return undefined
  const ids = new Int32Array(batch).fill(encoder.start)
  return { batch, positions: 1, ids, real: new Int32Array(batch).fill(1) }
}

function observerOf(
  p: RequestProgram,
  request: ForwardRequest,
  places: ReadonlyMap<number, number>,
  hidden: Record<Role, Ref[]>,
  seen: Observer['forward'],
): Observer {
  const { return: names, heads } = request
  const own = requestedResults({ return: names })
  const whole = relevanceMaps(request)
  const read = readsWeights(request)
  const mapsOf = (layer: number) => {
    const maps = places.has(layer) ? (own.maps ?? []) : []
    const wanted = whole || (read && places.has(layer))
    return wanted && !maps.includes('weights') ? [...maps, 'weights' as const] : maps
  }
  const cross = requestedResults({ return: crossNames(names) })
  const chosen =
    <T>(list: readonly T[] | undefined) =>
    (layer: number) =>
      places.has(layer) ? (list ?? []) : []
  const answer = (state: MultiHeadState, wanted: readonly string[], prefix: string) => {
    const { batch, heads: all } = state.attention.plan.geometry
    const write: RequestProgram['output'] = (name, buffer, shape, guide) => {
      if (heads === undefined) return p.output(name, buffer, shape, guide)
      const width = shape.slice(2).reduce((product, extent) => product * extent, 1)
      const y = p.buffer({ type: p.buffers[buffer].type, length: batch * heads.length * width })
      p.stage(p.step(takeHeads, { x: buffer, y }, { batch, heads: all, chosen: heads, width }))
      p.output(name, y, [batch, heads.length, ...shape.slice(2)])
    }
    attentionAnswers(p, state.attention, wanted, false, prefix, write)
  }
  const ofLayers = names.filter(name => PER_LAYER.test(name) && !name.startsWith('cross_'))
  return {
    entropy: own.entropy || cross.entropy,
    requested: role => ({
      maps: role === 'decoder' || !whole ? mapsOf : chosen(own.maps),
      crossMaps: chosen(role === 'decoder' ? cross.maps : []),
      maxima: own.maxima,
      crossMaxima: cross.maxima,
    }),
    embedded: (role, x) => void hidden[role].push(x),
    forward(role, layer, block) {
      const { attention, cross: ofContext, output } = block
      hidden[role].push(output)
      seen(role, layer, block)
      const place = places.get(layer)
      if (names.includes('present') && role === 'decoder') {
        for (const { name, buffer, shape } of presentOutputs(attention.attention, layer))
          p.output(name, buffer, shape)
      }
      if (place === undefined) return
      const at = `${role === 'encoder' ? 'encoder.' : ''}layers.${place}.`
      answer(attention, ofLayers, at)
      if (ofContext !== undefined) answer(ofContext, crossNames(names), `${at}cross_`)
    },
  }
}

function answerStates({ p, request, run, model, prepared }: Forward, hidden: Record<Role, Ref[]>): void {
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

function reportTokens({ prepared: { tokens, nameOf }, reports }: Forward): void {
  const { batch, positions, ids, real, strings, offsets } = tokens
  const rows = (of: Int32Array) => {
    return Array.from({ length: batch }, (_, b) =>
      Array.from(of.subarray(b * positions, (b + 1) * positions)),
    )
  }
  const list = rows(ids)
  const names = strings ?? (nameOf && list.map(row => row.map(nameOf)))
  const told = {
    ids: list,
    ...(names && { strings: names }),
    ...(offsets && { offsets }),
    attention_mask: rows(real),
  }
  reports.push(() => ({ tokens: told }))
}
