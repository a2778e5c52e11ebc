/** `generate`: the tokens that follow each item, one after the other, with cached keys; all in the request's own program. */
import type { Ref } from '../../../workers/contract.ts'
import { nextToken, takeRows } from '../../../workers/ops/tokens/op.ts'
import { seedWords } from '../../layers/attention/plan.ts'
import type { BlockState } from '../../layers/block.ts'
import type { Frame } from '../../layers/outputs.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import type { Given } from '../../layers/sequence.ts'
import { endTokens } from '../../models/checkpoint.ts'
import { headForward } from '../../models/head.ts'
import { type ModelRun, type Observer, runModel } from '../../models/run.ts'
import type { Tokens } from '../../models/tokens.ts'
import { fieldProblem } from '../../problem.ts'
import type { Forward } from './context.ts'
import type { ModelRequest } from './request.ts'

/** Where the id of a token stands, and the same for the answer. */
interface Drawn {
  id: Ref
  value: Ref
  /** behind it, where somebody is told, or it may be the last */
  frame?: Frame | undefined
}

type Options = NonNullable<ModelRequest['generate']>

/** Takes each token when it is there, with what the row that it was drawn from attends to. */
export interface TokenOutlet {
  /** what is wanted of a layer's maps */
  maps(layer: number): ('weights' | 'cross_weights')[]
  layer(layer: number, block: BlockState): void
  token(item: number, index: number, value: Ref): Frame
}

export function* answerGenerated(forward: Forward, options: Options, outlet?: TokenOutlet): Generator<void> {
  const { p, model, prepared, reports } = forward
  const { spec, checkpoint, name, maxLength } = model.plan
  if (!spec.stack.causal || spec.head === undefined) {
    throw fieldProblem('INVALID_REQUEST', '/generate', `expected a decoder with a head; ${name} is none`)
  }
  const items = itemsOf(prepared.tokens)
  const longest = Math.max(...items.map(({ positions }) => positions))
  if (spec.encoder === undefined && maxLength !== undefined && longest + options.max_new_tokens > maxLength) {
    const message = `expected at most max_length = ${maxLength} tokens together, got ${longest} and ${options.max_new_tokens} new ones`
    throw fieldProblem('INVALID_REQUEST', '/generate/max_new_tokens', message)
  }
  const ends = endTokens(checkpoint)
  const generated: Drawn[][] = []
  for (const [index, item] of items.entries()) {
    const drawn = yield* follow(forward, item, options, index, outlet)
    generated.push(drawn)
    // an item ends with its end token: nothing behind that is computed
    for (const { id, frame } of drawn.slice(0, -1)) {
      if (frame !== undefined) frame.skip = { to: p.stages.length, id, among: ends }
    }
  }
  for (const { value } of generated.flat()) p.keep(value)
  const { nameOf } = prepared
  reports.push(read => {
    const ids = generated.map(item =>
      upToEnd(
        item.map(({ value }) => read(value)[0]),
        ends,
      ),
    )
    return { generated: { ids, ...(nameOf && { strings: ids.map(row => row.map(nameOf)) }) } }
  })
}

function upToEnd(ids: number[], ends: readonly number[]): number[] {
  const end = ids.findIndex(id => ends.includes(id))
  return end < 0 ? ids : ids.slice(0, end + 1)
}

/** The items without their padding: each goes its own way, and has the bits that it has alone. */
function itemsOf({ batch, positions, ids, real }: Tokens): Tokens[] {
  return Array.from({ length: batch }, (_, b) => {
    const own = ids
      .subarray(b * positions, (b + 1) * positions)
      .filter((_, i) => real[b * positions + i] !== 0)
    if (own.length === 0) {
      throw fieldProblem(
        'INVALID_REQUEST',
        `/attention_mask/${b}`,
        'expected a token that is no padding, got none',
      )
    }
    return { batch: 1, positions: own.length, ids: own, real: new Int32Array(own.length).fill(1) }
  })
}

const ONE: Tokens = { batch: 1, positions: 1, ids: Int32Array.of(0), real: Int32Array.of(1) }

/** The buffers of one item's new ids. Each step's keys and values are the next one's past. */
function* follow(
  forward: Forward,
  item: Tokens,
  options: Options,
  index: number,
  outlet: TokenOutlet | undefined,
): Generator<void, Drawn[]> {
  const { p, weights, model } = forward
  const { encoder, sizes } = model.plan.spec
  const blocks: BlockState[] = []
  const wants = (layer: number, name: 'weights' | 'cross_weights') =>
    outlet?.maps(layer).includes(name) ? (['weights'] as const) : []
  const observer: Observer = {
    entropy: false,
    requested: role => ({
      maps: layer => (role === 'decoder' ? wants(layer, 'weights') : []),
      crossMaps: layer => (role === 'decoder' ? wants(layer, 'cross_weights') : []),
    }),
    embedded() {},
    forward(role, layer, block) {
      if (role !== 'decoder') return
      blocks[layer] = block
      outlet?.layer(layer, block)
    },
  }
  const start = encoder && { ...ONE, ids: Int32Array.of(encoder.start) }
  let run: ModelRun = yield* runModel(weights, item, {}, observer, start)
  const ids: Drawn[] = []
  let length = encoder === undefined ? item.positions : 1
  let rows = length
  for (let step = 0; ; step++) {
    ids.push(drawn(forward, run.decoder.state.output, rows, options, index * options.max_new_tokens + step))
    const place = { pass: 'generate', item: index, layer: step } as const
    const mayEnd = endTokens(model.plan.checkpoint).length > 0
    ids[step].frame =
      outlet?.token(index, step, ids[step].value) ?? (mayEnd ? p.barrier(place, []) : undefined)
    if (step + 1 === options.max_new_tokens) return ids
    const past: Record<string, Given> = {}
    for (const [layer, { attention }] of blocks.entries()) {
      const { presentK, presentV, plan } = attention.attention
      const { kvHeads, dimK, dimV } = plan.geometry
      past[`layers.${layer}.k`] = { shape: [1, kvHeads, length, dimK], ref: presentK }
      past[`layers.${layer}.v`] = { shape: [1, kvHeads, length, dimV], ref: presentV }
    }
    const next: Observer = { ...observer, past, first: length, ids: ids[step].id }
    run = yield* runModel(weights, ONE, {}, next, encoder && ONE, run.encoder)
    length++
    rows = 1
  }

  /** From the last of the rows. */
  function drawn(forward: Forward, output: Ref, rows: number, options: Options, draw: number): Drawn {
    const { head } = forward.model.plan.spec
    const x = rows === 1 ? output : lastRow(p, output, rows, sizes.dModel)
    const { logits } = headForward(weights, head as NonNullable<typeof head>, x, 1)
    const id = p.buffer({ type: 'int32', length: 1 })
    const { temperature, top_k: topK = 0, seed } = options
    const args = { vocabulary: sizes.vocabulary, temperature, topK, ...seedWords(seed), draw }
    const value = p.buffer({ type: 'float64', length: 1 })
    p.stage(p.step(nextToken, { logits, id, value }, args))
    return { id, value }
  }
}

function lastRow(p: RequestProgram, x: Ref, rows: number, dim: number): Ref {
  const chosen = p.buffer({ type: 'int32', length: 1, data: [rows - 1] })
  const y = p.reals(dim)
  p.stage(p.step(takeRows, { x, chosen, y }, { count: 1, dim }))
  return y
}
