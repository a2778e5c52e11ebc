/** `POST /v1/positional-encoding` → a program: the tables themselves, or what they make of x. */
import { add } from '../../workers/ops/elementwise/op.ts'
import { alibiBias, sinusoidalTable } from '../../workers/ops/tables/op.ts'
import type { Ref } from '../../workers/task.ts'
import { product, type TensorSource } from '../formats/tensor.ts'
import { alibiSlopes } from '../layers/attention/alibi-slopes.ts'
import { prepareBackward, prepareForward, ropeTable } from '../layers/attention/positions.ts'
import { MOST_HEADS, wrong } from '../layers/geometry.ts'
import { lossForward } from '../layers/loss.ts'
import { RequestProgram } from '../layers/program-builder.ts'
import { fieldProblem } from '../problem.ts'
import type { PositionalEncodingRequest } from './positional-encoding-fields.ts'

type Kind<K> = Extract<PositionalEncodingRequest, { kind: K }>

/** What became of x, and how a gradient gets back to it. */
interface Encoded {
  output: Ref
  backward(gradOutput: Ref): Ref
}

export function compilePositionalEncoding(request: PositionalEncodingRequest): RequestProgram {
  const p = new RequestProgram(request.precision, request.non_finite)
  if (request.x === undefined && request.backward !== undefined) {
    throw fieldProblem('INVALID_REQUEST', '/x', 'expected a tensor beside backward, got nothing')
  }
  if (request.backward?.entropy_weight !== undefined) {
    const message = 'expected no entropy term, for nothing attends here, got one'
    throw fieldProblem('INVALID_REQUEST', '/backward/entropy_weight', message)
  }
  const encoded = encode(p, request)
  if (encoded === undefined || request.x === undefined) return p
  const { shape, count } = request.x
  p.output('output', encoded.output, shape)
  if (request.backward === undefined) return p
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
  const wrt = request.backward.wrt ?? ['x']
  if (wrt.length > 0) p.output('grads.x', encoded.backward(loss.gradOutput), shape)
  return p
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
  const { positions, dim } = extents(request)
  const { dims = dim, base, offset, interleaved } = request
  if (dims % 2 !== 0 || dims > dim) {
    const message = `expected an even number of at most d_model = ${dim}, got ${dims}`
    throw fieldProblem('INVALID_REQUEST', '/dims', request.dims ? message : `${message} (the default)`)
  }
  const [table, step] = ropeTable(p, { base, interleaved, dims, offset, positions })
  p.stage(step)
  if (request.x === undefined) {
    p.output('cos', table.cos, [positions, dims / 2])
    p.output('sin', table.sin, [positions, dims / 2])
    return undefined
  }
  const rows = { heads: product(request.x.shape.slice(0, -2)), positions, dim }
  const { prepared, stages } = prepareForward(p, p.input('/x', request.x), rows, undefined, table)
  for (const stage of stages) p.stage(...stage)
  return {
    output: prepared.ready,
    backward(gradOutput) {
      const { grad, stages } = prepareBackward(p, prepared, gradOutput)
      for (const stage of stages) p.stage(...stage)
      return grad
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

/** Positions and elements a row, from x or from the request's own numbers. */
function extents({ x, length, d_model }: Kind<'sinusoidal'> | Kind<'rope'>) {
  if (x !== undefined && x.shape.length < 2) wrong('/x', x, 'expected [N, d_model] or more axes')
  const [positions = length, dim = d_model] = x?.shape.slice(-2) ?? []
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
