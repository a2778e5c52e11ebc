/** A loaded model as something to serve: its tokens are read between the parsing of a request and its compilation. */
import type { TensorSource } from '../../formats/tensor.ts'
import type { LoadedModel } from '../../models/loaded.ts'
import type { Padding } from '../../models/run.ts'
import { tokensOfText } from '../../models/text.ts'
import { tokensOf } from '../../models/token-ids.ts'
import type { ModelTokenizer } from '../../models/tokenizer.ts'
import { hasPadding, placesByMask, rightPadded, type Tokens } from '../../models/tokens.ts'
import { bothProblem, fieldProblem } from '../../problem.ts'
import type { Plannable, Room } from '../endpoint.ts'
import { bertvizRequest, writeBertviz } from './bertviz.ts'
import type { PreparedTokens } from './context.ts'
import { compileForward, ForwardRequestSchema, ForwardShapes } from './forward.ts'
import type { ForwardRequest, ModelRequest } from './request.ts'
import { unlessStopped } from './unless-stopped.ts'

/** What a part of a batch must know of the whole, for its program to be that of the whole but for its size. */
export interface OfWhole {
  batch: number
  /** tokens of each item, with its padding */
  positions: number
  /** how the layers are told of padding */
  padding: keyof Padding | 'none'
}

export interface ModelEndpoint extends Plannable<ForwardRequest> {
  /** Of the request that has been prepared. */
  whole(): OfWhole
}

/** `bertviz`: answered in the form of BertViz's views; `whole`: it is a part of that. */
export function modelForward(model: LoadedModel, bertviz = false, whole?: OfWhole): ModelEndpoint {
  let prepared: PreparedTokens | undefined
  return {
    whole() {
      const { tokens, padding } = prepared as PreparedTokens
      const { batch, positions } = tokens
      return { batch, positions, padding: formOf(padding) }
    },
    request: ForwardRequestSchema,
    shapes: ForwardShapes,
    layers: request => compiledLayers(request, model, prepared),
    async prepare(request, body, signal) {
      prepared = await prepareTokens(request, model, body, signal, whole)
    },
    *compile(p, request) {
      const tokens = prepared as PreparedTokens
      yield* compileForward(p, bertviz ? bertvizRequest(request, model) : request, model, tokens)
      if (bertviz) writeBertviz(p, tokens, model)
    },
  }
}

function formOf({ lengths, segments }: Padding): OfWhole['padding'] {
  if (lengths !== undefined) return 'lengths'
  return segments === undefined ? 'none' : 'segments'
}

/** Layers that are compiled one after the other: of both stacks, and again for each token that is generated. */
export function compiledLayers(
  { generate }: Pick<ModelRequest, 'generate'>,
  { plan }: LoadedModel,
  prepared: PreparedTokens | undefined,
): number {
  const tokens = generate === undefined ? 0 : generate.max_new_tokens * (prepared?.tokens.batch ?? 1)
  return plan.spec.sizes.layers * (1 + tokens) + (plan.encoderStack?.layers ?? 0)
}

export async function prepareTokens(
  request: ModelRequest,
  model: LoadedModel,
  body: Room,
  signal: AbortSignal,
  whole?: OfWhole,
): Promise<PreparedTokens> {
  const prepared = await readTokens(request, model, body, signal, whole)
  const { method, steps } = request.relevance ?? { method: 'rollout', steps: 0 }
  if (method === 'integrated_gradients') {
    const tokens = repeated(prepared.tokens, steps + 1)
    prepared.path = { tokens, padding: paddingOf(tokens, model, body, whole) }
  }
  return prepared
}

async function readTokens(
  request: ModelRequest,
  model: LoadedModel,
  body: Room,
  signal: AbortSignal,
  whole: OfWhole | undefined,
): Promise<PreparedTokens> {
  const { text, token_ids } = request
  if (text !== undefined && token_ids !== undefined) throw bothProblem('', 'text', 'token_ids')
  if (text !== undefined) {
    const tokenizer = await unlessStopped(model.tokenizer(), signal)
    const cutting = tokensOfText({ ...request, text }, model.plan, tokenizer, whole?.positions)
    const tokens = await unlessStopped(cutting, signal)
    return { tokens, padding: paddingOf(tokens, model, body, whole), ...namesOf(tokenizer) }
  }
  if (token_ids === undefined) {
    throw fieldProblem('INVALID_REQUEST', '', 'expected text or token_ids, got neither')
  }
  const tokens = withPlaces(tokensOf({ ...request, token_ids }, model.plan), model, whole)
  // without names where it cannot be loaded
  const tokenizer = model.plan.checkpoint.tokenizer
    ? await unlessStopped(
        model.tokenizer().catch(() => undefined),
        signal,
      )
    : undefined
  return { tokens, padding: paddingOf(tokens, model, body, whole), ...(tokenizer && namesOf(tokenizer)) }
}

function namesOf(tokenizer: ModelTokenizer): Pick<PreparedTokens, 'nameOf' | 'idOf'> {
  return { nameOf: id => tokenizer.nameOf(id), idOf: token => tokenizer.idOf(token) }
}

/** Small tensors that go with the request's body. */
function paddingOf(tokens: Tokens, { plan }: LoadedModel, body: Room, whole: OfWhole | undefined): Padding {
  if (whole === undefined ? !hasPadding(tokens) : whole.padding === 'none') return {}
  const source = (values: Int32Array, shape: number[]): TensorSource => {
    const bytes = body.room(values.byteLength)
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    const place = { bytes, start: 0, end: bytes.length, marks: [], escaped: false }
    return { shape, count: values.length, dtype: 'int32', form: 'safetensors', ...place }
  }
  const { batch, positions, real, places } = tokens
  const lengths = whole?.padding === 'segments' ? undefined : rightPadded(tokens)
  if (lengths !== undefined) return { lengths: source(lengths, [batch]) }
  const kv = source(
    real.map(each => each - 1),
    [batch, positions],
  )
  const rows = (count: number) => ({ q: source(new Int32Array(batch * count), [batch, count]), kv })
  return {
    segments: rows(positions),
    ...(plan.spec.encoder && { ofStart: rows(1) }),
    ...(places && { places: source(places, [batch, positions]) }),
  }
}

/** Of a decoder alone, padding on the left takes no positions. */
function withPlaces(tokens: Tokens, { plan }: LoadedModel, whole: OfWhole | undefined): Tokens {
  const onTheRight = whole === undefined ? rightPadded(tokens) !== undefined : whole.padding !== 'segments'
  if (!plan.spec.stack.causal || plan.spec.encoder !== undefined || onTheRight) return tokens
  return { ...tokens, places: placesByMask(tokens) }
}

/** The same items again and again. */
function repeated({ batch, positions, ids, real, kinds, places }: Tokens, times: number): Tokens {
  const all = (data: Int32Array) =>
    Int32Array.from({ length: data.length * times }, (_, at) => data[at % data.length])
  return {
    batch: batch * times,
    positions,
    ids: all(ids),
    real: all(real),
    kinds: kinds && all(kinds),
    places: places && all(places),
  }
}
