/** The messages of `GET /v1/stream`, both ways. */
import * as z from 'zod'
import { MOST_EXTENT, NumbersSpan, name } from '../formats/tensor.ts'
import { type TensorKinds, tensorKinds } from '../formats/tensor-fields.ts'
import { nameList, numerics } from '../layers/numerics.ts'
import { MOST_LAYERS, optionsBesideStack, stack, stackBackwardField } from '../layers/stack-fields.ts'

/** Tokens that a model may generate for a request, of each text. */
export const MOST_GENERATED = 4096

export const FORWARD_EMITS = [
  'output',
  'weights',
  'scores',
  'entropy',
  'logsumexp',
  'cross_weights',
  'cross_scores',
  'cross_entropy',
  'cross_logsumexp',
  'present',
  'state',
] as const
export const BACKWARD_EMITS = ['grad_output', 'grad_weights', 'grad_cross_weights', 'grad_params'] as const
const EMITS = [...FORWARD_EMITS, ...BACKWARD_EMITS] as const
/** Tensors [B, H, N, M] of a layer. */
export const MAP_EMITS = [
  'weights',
  'scores',
  'cross_weights',
  'cross_scores',
  'grad_weights',
  'grad_cross_weights',
] as const

export const MOST_CREDIT = 1_000_000
const MOST_ID = 128
const MOST_INDICES = 65536

export const RunId = z
  .string()
  .refine(text => text.length > 0 && text.length <= MOST_ID, {
    error: `expected a text of 1 to ${MOST_ID} characters`,
  })
  .meta({ id: 'RunId', description: `the client's name for the run, 1 to ${MOST_ID} characters` })

/** The components of these names are written by hand: a list of numbers is only located when a message is read. */
export const indices = indexList('IndexList', 1)
/** Of layers: none may be wanted. */
export const layerList = indexList('LayerList', 0)

function indexList(id: string, least: 0 | 1) {
  return z
    .unknown()
    .meta({ id })
    .transform((value, context): number[] => {
      const list =
        value instanceof NumbersSpan && value.span.element === 'number' ? value.toArray(MOST_INDICES) : value
      const items: unknown[] = Array.isArray(list) ? list : []
      const wrong = items.findIndex(item => !isIndex(item))
      const enough = Array.isArray(list) && items.length >= least
      if (enough && wrong < 0 && new Set(items).size === items.length) return items as number[]
      const expected = `expected an array of ${least === 0 ? '' : 'one or more '}different non-negative integers`
      const message = wrong < 0 ? expected : `${expected}, got ${name(items[wrong])}`
      const path = wrong < 0 ? [] : [wrong]
      context.issues.push({ code: 'custom', message, path, input: undefined })
      return z.NEVER
    })
}

function isIndex(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

export const detail = z
  .strictObject({
    max_size: z.int().min(1).max(4096).default(128).describe('most rows and columns of a thumbnail'),
    dtype: z.literal('uint8').default('uint8'),
    pool: z
      .enum(['max', 'mean'])
      .default('max')
      .describe('`max`: the element of largest magnitude of each square, with its sign; `mean`: their mean'),
  })
  .describe(
    'Send maps (weights, scores, grad_weights, and those of cross-attention) as thumbnails, a byte an element: squares of k × k elements become one, k being ' +
      'the least that makes no side longer than max_size. `scales` has a number s for each head, the largest magnitude of its ' +
      'thumbnail. weights: value = byte/255·s. scores and grad_weights: value = (byte − 128)/127·s, so that 128 is 0. The full ' +
      'maps stay on the server for `fetch`, until `release`, the end of the connection or a bounded time.',
  )

const MOST_TRACE = 1024

/** Of W3C's Trace Context, which a WebSocket's messages have no headers for. */
export const traceHeader = (header: string) =>
  z
    .string()
    .max(MOST_TRACE)
    .optional()
    .describe(`the header ${header} of W3C’s Trace Context, where this server sends traces`)

/** What says where a pass goes on; true where it must be there. */
const OF_LAYER = { from_layer: true, stack: false }
const PLACES: Record<string, Partial<Record<'from_layer' | 'stack' | 'from_token' | 'item', boolean>>> = {
  forward: OF_LAYER,
  backward: OF_LAYER,
  generate: { from_token: true, item: true },
  done: {},
}

export const Resume = z
  .strictObject({
    id: RunId.optional().describe('of the run there'),
    pass: z
      .enum(['forward', 'backward', 'generate', 'done'])
      .default('forward')
      .describe(
        '`generate`: of a model, the tokens that follow; `done`: all frames have come, and only that message is missing',
      ),
    from_layer: z
      .int()
      .min(0)
      .max(MOST_LAYERS - 1)
      .optional()
      .describe('with `forward` and `backward`: the next layer in the order of the pass, one that it has'),
    stack: z.literal('encoder').optional().describe('whose layer it is, where it is the encoder’s'),
    from_token: z
      .int()
      .min(0)
      .max(MOST_GENERATED - 1)
      .optional()
      .describe('with `generate`: the next token'),
    item: z
      .int()
      .min(0)
      .max(MOST_EXTENT - 1)
      .optional()
      .describe('with `generate`: of which text'),
  })
  .superRefine(({ pass, id: _, ...given }, context) => {
    for (const name of ['from_layer', 'stack', 'from_token', 'item'] as const) {
      const [needed, got] = [PLACES[pass][name], given[name]]
      if (got === undefined ? !needed : needed !== undefined) continue
      const expected = `expected ${got === undefined ? 'it' : 'none'} beside "pass":"${pass}"`
      context.addIssue({ code: 'custom', path: [name], message: `${expected}, got ${got ?? 'nothing'}` })
    }
  })
  .meta({ id: 'Resume' })
export type Resume = z.output<typeof Resume>

/** How frames come. */
export const delivery = {
  encoding: z
    .enum(['nested', 'flat', 'base64', 'safetensors'])
    .default('nested')
    .describe(
      'how tensors are written. `safetensors`: each layer, token, done and map is one binary message, a safetensors file whose ' +
        'tensors carry their JSON places (`tensors.weights`), everything else as one JSON string in `__metadata__` under `frame`',
    ),
  credit: z
    .int()
    .min(0)
    .max(MOST_CREDIT)
    .default(8)
    .describe('layer frames that may be on the wire; each takes one, `credit` adds some'),
  resume: Resume.optional().describe(
    'as `going_away` of another server says it of the run that this same message began there: the frames before that layer are not ' +
      'sent again. They are computed; the others are the same to the bit.',
  ),
}

function startMessage(tensors: TensorKinds) {
  const ofStack = stack(tensors)
  return z
    .strictObject({
      type: z.literal('start'),
      id: RunId,
      stack: ofStack,
      x: tensors.values.describe('[B, N, d_model], or [N, d_model] without a batch'),
      ...optionsBesideStack(tensors, ofStack),
      pass: z.enum(['forward', 'forward_backward']).default('forward'),
      traceparent: traceHeader('traceparent'),
      tracestate: traceHeader('tracestate'),
      backward: stackBackwardField(tensors).optional().describe('with `"pass":"forward_backward"`'),
      emit: nameList(z.enum(EMITS), EMITS.length)
        .default(['weights'])
        .describe(
          'what the layers’ frames hold. Forward: output [B,N,d_model], weights and scores [B,H,N,N], entropy and logsumexp ' +
            '[B,H,N]. Backward: grad_output (what reaches that layer’s output), grad_weights [B,H,N,N] (∂L/∂weights, each weight ' +
            'taken as a variable of its own; 0 where not attended), grad_params (an object by full parameter name; the last ' +
            'layer’s has final_norm too). With a context, cross_weights, cross_scores, cross_entropy, cross_logsumexp and ' +
            'grad_cross_weights are those of its attention [B,H,N,M]. `present` is an object as `past` (causal stacks), `state` one as `state`; its position stands in `done`. Frames of an encoder say ' +
            '`"stack":"encoder"` and have no cross-attention; they come backward where `wrt` means anything of it. A pass with nothing to emit sends no layer frames.',
        ),
      layers: layerList
        .optional()
        .describe(
          'the layers whose frames are wanted; default all, and [] none; of an encoder there are all',
        ),
      heads: indices
        .optional()
        .describe(
          'the heads that weights, scores, entropy, logsumexp and grad_weights hold, in this order; of an encoder’s layers all',
        ),
      detail: detail.optional(),
      ...numerics,
      ...delivery,
    })
    .superRefine((value, context) => {
      const backward = value.pass === 'forward_backward'
      const issue = (path: PropertyKey[], message: string) =>
        context.addIssue({ code: 'custom', path, message })
      if (backward && value.backward === undefined)
        issue(['backward'], 'expected backward beside "pass":"forward_backward", got nothing')
      if (!backward && value.backward !== undefined)
        issue(['pass'], 'expected "forward_backward" beside backward, got "forward"')
      for (const [index, name] of value.emit.entries()) {
        if (value.context === undefined && value.encoder === undefined && name.includes('cross_'))
          issue(['emit', index], `expected context or encoder beside "${name}", got none`)
        if (name === 'present' && !value.stack.causal)
          issue(['emit', index], 'expected a causal stack beside "present", got stack/causal false')
        if (!backward && (BACKWARD_EMITS as readonly string[]).includes(name))
          issue(['emit', index], `expected "pass":"forward_backward" beside "${name}", got "forward"`)
      }
      const resumed = value.resume?.pass
      if ((resumed === 'backward' && !backward) || resumed === 'generate')
        issue(
          ['resume', 'pass'],
          `expected a pass of the run beside "pass":"${value.pass}", got "${resumed}"`,
        )
      bounded(
        value.layers,
        value.stack.layers,
        `layers of the stack (${value.stack.layers})`,
        'layers',
        issue,
      )
      bounded(value.heads, value.stack.heads, `heads of the stack (${value.stack.heads})`, 'heads', issue)
    })
    .meta({ id: 'StartMessage' })
}

function bounded(
  list: number[] | undefined,
  limit: number,
  what: string,
  name: string,
  issue: (path: PropertyKey[], message: string) => void,
): void {
  const at = list?.findIndex(index => index >= limit) ?? -1
  if (at >= 0) issue([name, at], `expected a number below the ${what}, got ${list?.[at]}`)
}

export const StartMessage = startMessage(tensorKinds(false))
export type StartMessage = z.output<typeof StartMessage>

export const CreditMessage = z
  .strictObject({ type: z.literal('credit'), id: RunId, add: z.int().min(1).max(MOST_CREDIT) })
  .meta({ id: 'CreditMessage' })

export const CancelMessage = z
  .strictObject({ type: z.literal('cancel'), id: RunId })
  .meta({ id: 'CancelMessage' })

export const ReleaseMessage = z
  .strictObject({ type: z.literal('release'), id: RunId })
  .meta({ id: 'ReleaseMessage' })

export const FetchMessage = z
  .strictObject({
    type: z.literal('fetch'),
    id: RunId,
    layer: z
      .int()
      .min(0)
      .max(MOST_LAYERS - 1),
    head: z
      .int()
      .min(0)
      .max(MOST_INDICES - 1),
    tensor: z.enum(MAP_EMITS),
    stack: z.literal('encoder').optional().describe('of a layer of the encoder'),
    pass: z.enum(['forward', 'backward']).optional().describe('follows from the tensor; checked where given'),
  })
  .meta({ id: 'FetchMessage' })
export type FetchMessage = z.output<typeof FetchMessage>

/** What a client may send, by type. */
export const CLIENT_MESSAGES = {
  start: StartMessage,
  credit: CreditMessage,
  cancel: CancelMessage,
  fetch: FetchMessage,
  release: ReleaseMessage,
}

export type ClientMessage = z.output<(typeof CLIENT_MESSAGES)[keyof typeof CLIENT_MESSAGES]>
