/**
 * `POST /v1/gradient-check`: are the gradients those of the loss? The endpoint's own program in float64, and then its loss over and over,
 * with one input moved a little each time.
 */
import type { Ref, Step } from '../../../workers/contract.ts'
import {
  alongDirection,
  LOSS_COUNT,
  type MoveArgs,
  moveElements,
  SIZE_COUNT,
  tensorSize,
} from '../../../workers/ops/differences/op.ts'
import { tensorKinds } from '../../formats/tensor-fields.ts'
import type { OutputTensor } from '../../layers/outputs.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import { Problem } from '../../problem.ts'
import type { Endpoint } from '../endpoint.ts'
import { GradientCheckAnswer } from './answer.ts'
import { directionSeed, drawEntries } from './draws.ts'
import { EVALUATIONS, STEPS } from './estimate.ts'
import { CheckedProgram, type Moved } from './program.ts'
import { type CheckedInput, reportOf } from './report.ts'
import { type GradientCheckRequest, gradientCheckRequest } from './request.ts'

/** Steps of all evaluations: what the main thread holds of a program. */
const MOST_STEPS = 500_000

export const gradientCheck: Endpoint<GradientCheckRequest> = {
  path: '/v1/gradient-check',
  name: 'gradientCheck',
  summary: 'Are the gradients right? float64 differences of the loss beside the gradients of any endpoint',
  request: gradientCheckRequest(tensorKinds(false)),
  shapes: gradientCheckRequest(tensorKinds(true)),
  answer: GradientCheckAnswer,
  // there may be thousands of evaluations: it is compiled with pauses
  layers: () => Number.POSITIVE_INFINITY,
  program: ({ precision, non_finite }) => new CheckedProgram(precision, non_finite),
  compile,
}

interface Gradient {
  name: string
  output: OutputTensor
  moved: Moved
}

function* compile(program: RequestProgram, request: GradientCheckRequest): Generator<void> {
  const p = program as CheckedProgram
  const { endpoint } = request
  const body = withParams(request.body)
  p.inputsBelow = '/body'
  let makeValue: (value: Ref) => Step
  let outputs: Map<string, OutputTensor>
  try {
    outputs = (yield* p.evaluate(() => endpoint.compile(p, body))).outputs
    makeValue = yield* p.evaluateLoss(() => endpoint.compile(p, body))
  } catch (error) {
    throw error instanceof Problem ? error.below('/body') : error
  }
  p.inputsBelow = ''
  yield* checkAll(p, request, gradientsOf(p, outputs), makeValue)
}

/** Parameters that are drawn are known by the names that they are answered under. */
function withParams(body: object): object {
  const layered = 'params' in body || 'init' in body || 'stack' in body
  if (!layered) return body
  const { return: names = [] } = body as { return?: string[] }
  return { ...body, return: [...new Set([...names, 'params'])] }
}

function gradientsOf(p: CheckedProgram, outputs: Map<string, OutputTensor>): Gradient[] {
  const moved = [...p.moved.values()]
  return [...outputs.values()].flatMap(output => {
    if (!output.name.startsWith('grads.')) return []
    const name = output.name.slice('grads.'.length)
    const param = outputs.get(name)?.buffer
    const found = moved.find(each => nameOf(each.key) === name) ?? moved.find(({ x }) => x === param)
    if (found === undefined) throw new Error(`expected to know where ${name} is read`)
    return [{ name, output, moved: found }]
  })
}

/** `/body/stack/params/layers.0.ffn.w_1` → `params.layers.0.ffn.w_1` */
function nameOf(key: string): string {
  return key
    .replace(/^\/body\//, '')
    .replaceAll('/', '.')
    .replace(/(^|\.)stack\./, '$1')
}

function* checkAll(
  p: CheckedProgram,
  { entries, directions, seed }: GradientCheckRequest,
  gradients: Gradient[],
  makeValue: (value: Ref) => Step,
): Generator<void> {
  const checks = gradients.map(
    ({ output }) => Math.min(entries, p.buffers[output.buffer].length) + directions,
  )
  const evaluations = 1 + EVALUATIONS * checks.reduce((sum, count) => sum + count, 0)
  const steps = evaluations * (p.loopSteps + 2)
  if (steps > MOST_STEPS) {
    const hint = 'fewer entries, directions or inputs in wrt take fewer'
    throw new Problem(
      'COMPUTE_TOO_LARGE',
      `expected at most ${MOST_STEPS} steps, got ${evaluations} evaluations of the loss with ${steps} (${hint})`,
    )
  }
  const values = p.buffer({ type: 'float64', length: evaluations * LOSS_COUNT })
  p.keep(values)
  const rounds = new Rounds(p, values, makeValue)
  rounds.still()
  const sizing: Step[] = []
  const checked: CheckedInput[] = []
  for (const [number, { name, output, moved }] of gradients.entries()) {
    const { length: count } = p.buffers[moved.x]
    const sizeOf = (x: Ref) => {
      const figures = p.buffer({ type: 'float64', length: SIZE_COUNT })
      sizing.push(p.step(tensorSize, { x, figures }, { count }))
      p.keep(figures)
      return figures
    }
    const size = sizeOf(moved.x)
    const ofEntries = drawEntries(seed, number, count, entries).map(index => ({
      index,
      first: rounds.along(moved, size, { along: 'entry', index, seed: 0 }),
    }))
    const ofDirections = Array.from({ length: directions }, (_, direction) => {
      const drawn = directionSeed(seed, number, direction)
      const slope = p.buffer({ type: 'float64', length: 1 })
      const tensors = { x: moved.x, gradient: output.buffer, slope }
      sizing.push(p.step(alongDirection, tensors, { count, seed: drawn }))
      p.keep(slope)
      return { slope, first: rounds.along(moved, size, { along: 'direction', index: 0, seed: drawn }) }
    })
    p.keep(moved.x)
    p.keep(output.buffer)
    checked.push({
      name,
      shape: output.shape,
      x: moved.x,
      gradient: output.buffer,
      size,
      gradientSize: sizeOf(output.buffer),
      entries: ofEntries,
      directions: ofDirections,
    })
    yield
  }
  p.stage(...sizing)
  p.report = read => reportOf(checked, values, read)
}

/** The evaluations of the loss, one after the other. */
class Rounds {
  readonly #p: CheckedProgram
  readonly #values: Ref
  readonly #makeValue: (value: Ref) => Step
  #count = 0
  /** puts back the input that has been moved */
  #back: { moved: Moved; step: Step } | undefined

  constructor(p: CheckedProgram, values: Ref, makeValue: (value: Ref) => Step) {
    this.#p = p
    this.#values = values
    this.#makeValue = makeValue
  }

  /** With all inputs where they are. */
  still(): void {
    const figures = this.#p.buffer({ type: 'float64', length: SIZE_COUNT, data: [1, 1, 1] })
    this.#add([...this.#p.moved.values()].map(moved => this.#move(moved, figures, STILL)))
  }

  /** Up and down at each step; returns the number of the first of them. */
  along(moved: Moved, size: Ref, how: Omit<MoveArgs, 'count' | 'step'>): number {
    const first = this.#count
    const back = this.#back?.moved === moved ? undefined : this.#back?.step
    for (const [k, step] of STEPS.flatMap(each => [each, -each]).entries()) {
      const move = this.#move(moved, size, { ...how, step })
      this.#add(k === 0 && back !== undefined ? [back, move] : [move])
    }
    if (this.#back?.moved !== moved) this.#back = { moved, step: this.#move(moved, size, STILL) }
    return first
  }

  #move({ x, y }: Moved, figures: Ref, how: Omit<MoveArgs, 'count'>): Step {
    return this.#p.step(moveElements, { x, figures, y }, { count: this.#p.buffers[x].length, ...how })
  }

  #add(before: Step[]): void {
    const value = this.#p.part(this.#values, this.#count * LOSS_COUNT, LOSS_COUNT)
    this.#count++
    this.#p.round(before, this.#makeValue(value))
  }
}

const STILL = { along: 'nothing', index: 0, step: 0, seed: 0 } as const
