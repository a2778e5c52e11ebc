/**
 * `POST /v1/compare`: is what somebody else has computed right? The endpoint's own program is compiled twice into one, in float64 (the
 * truth) and as a plain program of the candidate's dtype (the baseline), and the candidate is held beside both.
 */
import type { Step } from '../../../workers/contract.ts'
import {
  compareAllowed,
  compareElements,
  compareFigures,
  FIGURE_COUNT,
  FOUND_COUNT,
  rowConditioning,
  WORST_COUNT,
} from '../../../workers/ops/compare/op.ts'
import { jsonPointer, shortened } from '../../../workers/text/json-pointer.ts'
import { shapePointer } from '../../formats/tensor.ts'
import { tensorKinds } from '../../formats/tensor-fields.ts'
import { orderOf } from '../../layers/attention/dialects/read.ts'
import type { Spoken } from '../../layers/attention/dialects/spoken.ts'
import type { OutputTensor } from '../../layers/outputs.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import { fieldProblem, Problem } from '../../problem.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Evaluation } from './alteration.ts'
import { CompareAnswer } from './answer.ts'
import { axesOf, type Order } from './axes.ts'
import type { Candidate } from './candidates.ts'
import { ComparedProgram } from './program.ts'
import { type Compared, reportOf } from './report.ts'
import { type CompareRequest, compareRequest, type Dtype } from './request.ts'

/** Rows and columns of an error map, at most. */
const MOST_BLOCKS = 32

/** The distance from 1 to the next number. */
export const EPS: Record<Dtype, number> = {
  float32: 2 ** -23,
  float16: 2 ** -10,
  bfloat16: 2 ** -7,
  float8_e4m3: 2 ** -3,
}

export const compare: Endpoint<CompareRequest> = {
  path: '/v1/compare',
  name: 'compare',
  summary:
    'Is my kernel right? A candidate beside the float64 truth, by what its dtype allows; and why it is not',
  request: compareRequest(tensorKinds(false)),
  shapes: compareRequest(tensorKinds(true)),
  answer: CompareAnswer,
  reports: {
    'text/html':
      'one page that needs nothing else: the verdict, the diagnosis, the tensors, an error map a head, the worst elements',
    'text/plain': 'the same as a table, for an issue',
  },
  layers: ({ endpoint, body }) => 2 * (endpoint.layers?.(body) ?? 0),
  program: ({ precision, non_finite }) => new ComparedProgram(precision, non_finite),
  compile,
}

function* compile(program: RequestProgram, request: CompareRequest): Generator<void> {
  const p = program as ComparedProgram
  p.alteration = request.alteration
  p.inputsBelow = '/body'
  const truth = yield* evaluated(p, request, undefined)
  for (const candidate of request.candidates) expectAnswered(candidate, truth, request)
  const baseline = request.allowed === undefined ? yield* evaluated(p, request, request.dtype) : undefined
  p.inputsBelow = ''
  compareAll(p, request, truth, baseline)
}

function* evaluated(p: ComparedProgram, { endpoint, body }: CompareRequest, dtype: Dtype | undefined) {
  try {
    return yield* p.evaluate(dtype, () => endpoint.compile(p, body))
  } catch (error) {
    throw error instanceof Problem ? error.below('/body') : error
  }
}

/** A candidate has the name and the shape of a tensor that the endpoint answers to this body. */
function expectAnswered(
  { name, path, source }: Candidate,
  truth: Evaluation,
  { endpoint, body }: CompareRequest,
) {
  const answered = truth.get(name)
  const pointer = jsonPointer(...path)
  if (answered === undefined) {
    const known = [...truth.keys()]
    const list = `${known.slice(0, 12).join(', ')}${known.length > 12 ? ', …' : ''}`
    const hint =
      name.startsWith('grads.') && !('backward' in body) ? '; gradients need `backward` in the body' : ''
    const message = `expected a tensor that ${endpoint.path} answers to this body (${list})${hint}, got ${shortened(name)}`
    throw fieldProblem('INVALID_REQUEST', pointer, message)
  }
  const { shape } = answered
  if (shape.length === source.shape.length && shape.every((extent, axis) => extent === source.shape[axis]))
    return
  const message = `expected [${shape.join(', ')}], the shape of ${name}, got [${source.shape.join(', ')}]`
  throw fieldProblem('INVALID_REQUEST', pointer + shapePointer(source), message)
}

function compareAll(
  p: ComparedProgram,
  request: CompareRequest,
  truth: Evaluation,
  baseline: Evaluation | undefined,
): void {
  const { candidates, dtype, rule, top } = request
  const figuring: Step[] = []
  const allowing: Step[] = []
  const comparing: Step[] = []
  const compared = candidates.map(({ name, path, source }): Compared => {
    const { buffer: ofTruth, shape } = truth.get(name) as OutputTensor
    const ofBaseline = baseline === undefined ? ofTruth : (baseline.get(name) as OutputTensor).buffer
    const axes = axesOf(name, shape, orderOf(request.body as Spoken & Order))
    const { headAxes: _, inRow: __, ...layout } = axes
    const heads = axes.batch * axes.heads
    const candidate = p.inputAsItIs(jsonPointer(...path), source)
    const figures = p.buffer({ type: 'float64', length: heads * FIGURE_COUNT })
    const found = p.buffer({ type: 'float64', length: heads * (FOUND_COUNT + WORST_COUNT * top) })
    const tensors = { candidate, truth: ofTruth }
    figuring.push(p.step(compareFigures, { ...tensors, baseline: ofBaseline, figures }, { ...layout, dtype }))
    const known = request.allowed?.get(name)
    const allowed = p.buffer({ type: 'float64', length: 1, ...(known !== undefined && { data: [known] }) })
    const factor = rule.kind === 'baseline' ? rule.factor : 0
    if (known === undefined) {
      allowing.push(p.step(compareAllowed, { figures, allowed }, { heads, factor, eps: EPS[dtype] }))
    }
    const { rtol, atol } = rule.kind === 'tolerance' ? rule : { rtol: 0, atol: 0 }
    const ruled = { ...tensors, allowed: rule.kind === 'baseline' ? allowed : undefined, found }
    const [mapRows, mapColumns] = [Math.min(axes.rows, MOST_BLOCKS), Math.min(axes.dim, MOST_BLOCKS)]
    const blocks = { type: 'float64', length: heads * mapRows * mapColumns } as const
    const map = request.errorMaps ? { errorMap: p.buffer(blocks), mapRows, mapColumns } : undefined
    const args = { ...layout, rtol, atol, top, mapRows, mapColumns }
    comparing.push(p.step(compareElements, { ...ruled, errorMap: map?.errorMap }, args))
    for (const buffer of [figures, allowed, found]) p.keep(buffer)
    if (map !== undefined) p.keep(map.errorMap)
    return { name, shape, axes, figures, allowed, found, map }
  })
  const conditioning = p.extremes.map(extremes => {
    const figures = p.buffer({ type: 'float64', length: 4 })
    p.keep(figures)
    const rows = p.buffers[extremes].length / 3
    figuring.push(p.step(rowConditioning, { extremes, figures }, { rows, eps: EPS[dtype] }))
    return figures
  })
  p.stage(...figuring)
  p.stage(...allowing)
  p.stage(...comparing)
  p.report = read => reportOf(request, compared, conditioning, read)
}
