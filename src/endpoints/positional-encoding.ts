/** `POST /v1/positional-encoding`: the tables themselves, or what they make of x. */
import * as z from 'zod'
import type { Ref } from '../../workers/contract.ts'
import { add } from '../../workers/ops/elementwise/op.ts'
import { alibiBias, sinusoidalTable } from '../../workers/ops/tables/op.ts'
import { product, type TensorSource } from '../formats/tensor.ts'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import { alibiSlopes } from '../layers/attention/biases.ts'
import { frequencyFields, planFrequencies } from '../layers/attention/rope-frequencies.ts'
import { placesOf, ropeTable, rotateBackward, rotateForward } from '../layers/attention/stages/rope.ts'
import { MOST_HEADS, wrong } from '../layers/geometry.ts'
import { backwardField, lossForward } from '../layers/loss.ts'
import {
  dimension,
  heads,
  nameList,
  numerics,
  offset,
  pairedDimension,
  positive,
} from '../layers/numerics.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { bothProblem, fieldProblem } from '../problem.ts'
import { gradsResult, lossResult, tensor } from './answers.ts'
import { defineEndpoint } from './endpoint.ts'

const MOST_POSITIONS = 2 ** 24

const length = () => z.int().min(0).max(MOST_POSITIONS).optional().describe('positions; default: those of x')

function request(tensors: TensorKinds) {
  const common = {
    backward: backwardField(tensors, nameList(z.enum(['x']), 1), 'x')
      .optional()
      .describe('with x: the gradient that reaches it'),
    ...numerics,
  }
  const base = positive().default(10000)
  const start = offset().default(0).describe('the first position')
  const form = tensors.shapeAlone ? 'Shape' : ''
  return z
    .discriminatedUnion('kind', [
      z
        .strictObject({
          kind: z.literal('sinusoidal'),
          length: length(),
          d_model: dimension().optional().describe('default: the last extent of x'),
          base,
          offset: start,
          x: tensors.values.optional().describe('[…, N, d_model]: `output` = x + encoding'),
          ...common,
        })
        .meta({ id: `SinusoidalEncoding${form}` }),
      z
        .strictObject({
          kind: z.literal('rope'),
          length: length(),
          d_model: dimension().optional().describe('a head’s; default: the last extent of x'),
          dims: pairedDimension()
            .optional()
            .describe('how many leading elements are rotated; even; default d_model'),
          interleaved: z
            .boolean()
            .default(false)
            .describe('pairs (x_2j, x_2j+1) rather than (x_j, x_j+dims/2)'),
          ...frequencyFields(tensors),
          offset: offset().optional().describe('the first position; default 0'),
          positions: tensors.whole
            .optional()
            .describe(
              'int32 [length], or [B, length] where B is the first extent of x [B, …, N, d_model]; instead of `offset`. Negative ones turn backwards',
            ),
          x: tensors.values.optional().describe('[…, N, d_model]: `output` = x, every row rotated'),
          ...common,
        })
        .meta({ id: `RopeEncoding${form}` }),
      z
        .strictObject({
          kind: z.literal('alibi'),
          length: length(),
          heads: heads().optional().describe('default: those of x'),
          x: tensors.values.optional().describe('scores […, heads, N, M]: `output` = x + bias'),
          ...common,
        })
        .meta({ id: `AlibiEncoding${form}` }),
    ])
    .meta({ id: 'PositionalEncodingRequest' })
}

type PositionalEncodingRequest = z.output<ReturnType<typeof request>>

const PositionalEncodingAnswer = z
  .strictObject({
    encoding: tensor.optional().describe('sinusoidal: [length, d_model]'),
    cos: tensor.optional().describe('rope: [length, dims/2], or [B, length, dims/2] as the positions are'),
    sin: tensor.optional().describe('rope: in the shape of cos'),
    slopes: tensor.optional().describe('alibi: [heads]'),
    bias: tensor.optional().describe('alibi: [heads, length, length] = −slope·|i − j|'),
    output: tensor.optional().describe('with x: in its shape'),
    ...lossResult,
    grads: gradsResult({ x: 'x’s' }, false),
  })
  .meta({ id: 'PositionalEncodingAnswer' })

export const positionalEncoding = defineEndpoint({
  path: '/v1/positional-encoding',
  name: 'positionalEncoding',
  summary: 'Sinusoidal, rotary and ALiBi encodings: the tables, or what they make of x',
  request,
  answer: PositionalEncodingAnswer,
  compile,
})

type Kind<K> = Extract<PositionalEncodingRequest, { kind: K }>

/** What became of x, and how a gradient gets back to it. */
interface Encoded {
  output: Ref
  backward(gradOutput: Ref): Ref
}

function compile(p: RequestProgram, request: PositionalEncodingRequest): void {
  if (request.x === undefined && request.backward !== undefined) {
    throw fieldProblem('INVALID_REQUEST', '/x', 'expected a tensor beside backward, got nothing')
  }
  if (request.backward?.entropy_weight !== undefined) {
    const message = 'expected no entropy term, for nothing attends here, got one'
    throw fieldProblem('INVALID_REQUEST', '/backward/entropy_weight', message)
  }
  const encoded = encode(p, request)
  if (encoded === undefined || request.x === undefined) return
  const { shape, count } = request.x
  p.output('output', encoded.output, shape)
  if (request.backward === undefined) return
  const subject = {
    output: encoded.output,
    shape,
    batch: 1,
    heads: 1,
    queries: 1,
    dim: count,
    elements: count,
  }
  const loss = lossForward(p, subject, request.backward)
  p.output('grads.x', encoded.backward(loss.gradOutput), shape)
}

function encode(p: RequestProgram, request: PositionalEncodingRequest): Encoded | undefined {
  switch (request.kind) {
    case 'sinusoidal':
      return sinusoidal(p, request)
    case 'rope':
      return rope(p, request)
    case 'alibi':
      return alibi(p, request)
  }
}

function sinusoidal(p: RequestProgram, request: Kind<'sinusoidal'>): Encoded | undefined {
  const { positions, dim } = extents(request)
  const encoding = p.reals(positions * dim)
  const args = { positions, dim, base: request.base, offset: request.offset }
  p.stage(p.step(sinusoidalTable, { encoding }, args))
  if (request.x === undefined) {
    p.output('encoding', encoding, [positions, dim])
    return undefined
  }
  return sumWith(p, request.x, encoding, positions * dim)
}

function rope(p: RequestProgram, request: Kind<'rope'>): Encoded | undefined {
  const { positions, dim } = extents(request, request.positions?.shape.at(-1))
  const { x, offset = 0, positions: places, interleaved } = request
  if (places !== undefined && request.offset !== undefined) throw bothProblem('', 'positions', 'offset')
  const batch = x === undefined ? places?.shape.at(-2) : x.shape.length > 2 ? x.shape[0] : undefined
  const rowPlaces =
    places === undefined
      ? { positions, offset, batches: 1 }
      : placesOf(p, '/positions', places, positions, batch)
  const frequencies = planFrequencies(p, request, { name: 'd_model', dim }, [rowPlaces], '')
  const [table, step] = ropeTable(p, frequencies, interleaved, rowPlaces)
  p.stage(step)
  if (request.x === undefined) {
    const shape = [...(places?.shape ?? [positions]), table.dims / 2]
    p.output('cos', table.cos, shape)
    p.output('sin', table.sin, shape)
    return undefined
  }
  const rows = { heads: product(request.x.shape.slice(0, -2)), positions, dim }
  const rotated = rotateForward(p, p.input('/x', request.x), rows, table)
  p.stage(rotated.step)
  return {
    output: rotated.y,
    backward(gradOutput) {
      const { gradX, step } = rotateBackward(p, rotated, gradOutput)
      p.stage(step)
      return gradX
    },
  }
}

function alibi(p: RequestProgram, request: Kind<'alibi'>): Encoded | undefined {
  const { x } = request
  if (x !== undefined && x.shape.length < 3) wrong('/x', x, 'expected [heads, N, M] or more axes')
  const [heads = request.heads, queries = request.length, keys = request.length] = x?.shape.slice(-3) ?? []
  if (heads === undefined || queries === undefined || keys === undefined) {
    const name = heads === undefined ? 'heads' : 'length'
    throw fieldProblem('INVALID_REQUEST', `/${name}`, 'expected a number (or x), got nothing')
  }
  if (x !== undefined && heads > MOST_HEADS) wrong('/x', x, `expected at most ${MOST_HEADS} heads`)
  agree('heads', request.heads, heads)
  agree('length', request.length, queries)
  const slopes = p.reals(heads, alibiSlopes(Math.max(1, heads)).slice(0, heads))
  const bias = p.reals(heads * queries * keys)
  p.stage(p.step(alibiBias, { slopes, bias }, { heads, queries, keys }))
  if (x === undefined) {
    p.output('slopes', slopes, [heads])
    p.output('bias', bias, [heads, queries, keys])
    return undefined
  }
  return sumWith(p, x, bias, heads * queries * keys)
}

/** x plus a constant that repeats: the gradient of x is the gradient of the sum. */
function sumWith(p: RequestProgram, x: TensorSource, constant: Ref, period: number): Encoded {
  const y = p.reals(x.count)
  p.stage(p.step(add, { a: p.input('/x', x), b: constant, y }, { count: x.count, period }))
  return { output: y, backward: gradOutput => gradOutput }
}

/** Positions and elements a row, from x or from the request's own numbers. `placed`: how many positions it lists. */
function extents({ x, length, d_model }: Kind<'sinusoidal'> | Kind<'rope'>, placed?: number) {
  if (x !== undefined && x.shape.length < 2) wrong('/x', x, 'expected [N, d_model] or more axes')
  const [positions = length ?? placed, dim = d_model] = x?.shape.slice(-2) ?? []
  if (positions === undefined || dim === undefined) {
    const name = positions === undefined ? 'length' : 'd_model'
    throw fieldProblem('INVALID_REQUEST', `/${name}`, 'expected a number (or x), got nothing')
  }
  if (dim === 0 && x !== undefined) wrong('/x', x, 'expected d_model of at least 1')
  agree('length', length, positions)
  agree('d_model', d_model, dim)
  return { positions, dim }
}

function agree(name: string, given: number | undefined, ofX: number): void {
  if (given === undefined || given === ofX) return
  throw fieldProblem('SHAPE_MISMATCH', `/${name}`, `expected x's ${ofX}, got ${given}`)
}
