/** `emulate`: attention with the numbers that other hardware gives, and what each of its roundings costs by itself. */
import * as z from 'zod'
import type { Ref, Step } from '../../../workers/contract.ts'
import type { AttentionArgs } from '../../../workers/ops/attention/op.ts'
import type { ArgSpecs, ArgsOf, Op, RefsOf, StepOf, TensorSpecs } from '../../../workers/ops/define-op.ts'
import { outputError, outputErrorTotal } from '../../../workers/ops/output-error/op.ts'
import { castElements, emulatedForward } from '../../../workers/ops/plain-attention/op.ts'
import { bothProblem, fieldsProblem } from '../../problem.ts'
import { RequestProgram, type StepOptions } from '../program-builder.ts'

const DTYPES = ['float32', 'float16', 'bfloat16', 'float8_e4m3', 'float8_e5m2'] as const
type Rounding = (typeof DTYPES)[number] | 'exact'

export const STAGES = ['inputs', 'scores', 'weights', 'accumulate', 'output'] as const
type Stages = Record<(typeof STAGES)[number], Rounding>

const dtype = () => z.enum(DTYPES).default('float32')

export const emulateField = z
  .strictObject({
    inputs: dtype().describe('q, k and v as the products read them: behind qk-norm and RoPE, the past too'),
    scores: dtype().describe('scale·q·k, what softcap makes of it, and each sum with a mask or bias'),
    weights: dtype().describe('the normalised weights, and what dropout makes of them'),
    accumulate: z
      .enum(['float32', 'float16'])
      .default('float32')
      .describe('partial sums of both products, from the first term to the last'),
    output: dtype(),
  })
  .describe(
    'The numbers that hardware with such types gives: each stage is rounded to nearest even where it is stored, and what lies between ' +
      'is float64. float8 saturates (e4m3: 448, e5m2: 57344), the other types overflow to infinity. Softmax attention alone, forward.',
  )

type Emulation = z.output<typeof emulateField>

interface EmulatedRequest {
  emulate?: Emulation | undefined
  return: readonly string[]
  attention_kind?: unknown
}

/** What is not emulated. */
const APART = ['backward', 'jvp', 'sinks', 'state', 'cu_seqlens_q', 'compare_exact'] as const

/** `isEmulated`: whether the program is one that emulates; of a comparison it is not. */
export function refuseBesideEmulate(request: EmulatedRequest, isEmulated: boolean): void {
  const budget = request.return.indexOf('error_budget')
  if (request.emulate === undefined) {
    if (budget < 0) return
    const message = 'expected emulate beside "error_budget", got none'
    throw fieldsProblem('INVALID_REQUEST', [
      { path: `/return/${budget}`, message },
      { path: '/emulate', message },
    ])
  }
  for (const name of APART) {
    const given = (request as unknown as Record<string, unknown>)[name]
    if (given !== undefined && given !== false) throw bothProblem('', 'emulate', name)
  }
  const kind = request.attention_kind as string | { kind: string } | undefined
  const named = typeof kind === 'object' ? kind.kind : kind
  if (named !== undefined && named !== 'softmax') throw bothProblem('', 'emulate', 'attention_kind')
  if (isEmulated) return
  const message = 'expected no emulate where the float64 truth is what is asked for, got one'
  throw fieldsProblem('INVALID_REQUEST', [{ path: '/emulate', message }])
}

/** The tensors and arguments of attentionForward. */
interface Call {
  tensors: Record<string, Ref | undefined>
  args: AttentionArgs
  options: StepOptions
}

/** Computes in float64: a tensor is rounded once, whatever the answer's precision is. */
export class EmulatedProgram extends RequestProgram {
  override readonly positionsFirst = false
  readonly #stages: Emulation
  #call: Call | undefined

  constructor(stages: Emulation, nonFinite: 'reject' | 'propagate') {
    super('float64', nonFinite)
    this.#stages = stages
  }

  override step<N extends string, T extends TensorSpecs, A extends ArgSpecs>(
    op: Op<N, T, A>,
    tensors: RefsOf<T>,
    args: ArgsOf<A>,
    options: StepOptions = {},
  ): StepOf<Op<N, T, A>> {
    if (op.name === 'attentionForward') {
      this.#call = {
        tensors: tensors as unknown as Call['tensors'],
        args: args as unknown as AttentionArgs,
        options,
      }
      return this.#emulated(this.#call, this.#stages) as unknown as StepOf<Op<N, T, A>>
    }
    return super.step(op, tensors, args, options)
  }

  override stage(...steps: Step[]): void {
    super.stage(...steps)
    for (const { op, tensors } of steps) {
      if (op === 'softcapScores') super.stage(this.#cast(tensors.y, tensors.y, this.#stages.scores))
    }
  }

  /** Answers what each stage costs by itself, the others exact: the error of the output. */
  answerBudget(qLengths: Ref | undefined): void {
    const { tensors, args, options } = this.#call as Call
    const { batch, heads, queries, dimV } = args
    const rows = batch * heads * queries
    const evaluate = (stages: Partial<Stages>): Ref => {
      const output = this.reals(rows * dimV)
      const { scores: _, maskedScores: __, weights: ___, droppedWeights: ____, ...rest } = tensors
      const own = {
        ...rest,
        output,
        denominator: this.buffer({ type: 'float64', length: 2 * rows }),
        logsumexp: this.buffer({ type: 'float64', length: rows }),
        entropy: undefined,
        maxima: undefined,
      }
      this.stage(this.#emulated({ tensors: own, args, options }, { ...EXACT, ...stages }))
      return output
    }
    const exact = evaluate({})
    const sizes = { batch, heads, queries, dimV }
    for (const name of STAGES) {
      const output = evaluate({ [name]: this.#stages[name] })
      const partials = this.buffer({ type: 'float64', length: 4 * batch * heads })
      this.stage(this.step(outputError, { output, exact, qLengths, partials }, sizes))
      const errors = this.buffer({ type: 'float64', length: 3 })
      this.stage(this.step(outputErrorTotal, { partials, errors }, sizes))
      this.scalar(`error_budget.${name}.max_abs`, errors, 0)
      this.scalar(`error_budget.${name}.rmse`, errors, 1)
    }
  }

  #emulated({ tensors, args, options }: Call, stages: Stages): Step {
    const given = tensors as unknown as RefsOf<(typeof emulatedForward)['tensors']>
    const casts = (['q', 'k', 'v'] as const).map(name => {
      const x = given[name]
      const y = this.reals(this.buffers[x].length)
      return [name, y, this.#cast(x, y, stages.inputs)] as const
    })
    super.stage(...casts.map(([, , step]) => step))
    const rounded = Object.fromEntries(casts.map(([name, y]) => [name, y]))
    const roundings = {
      ofScores: stages.scores,
      ofWeights: stages.weights,
      ofSums: stages.accumulate,
      ofOutput: stages.output,
    }
    return super.step(emulatedForward, { ...given, ...rounded }, { ...args, ...roundings }, options)
  }

  #cast(x: Ref, y: Ref, dtype: Rounding): Step {
    return super.step(castElements, { x, y }, { count: this.buffers[x].length, dtype })
  }
}

const EXACT: Stages = {
  inputs: 'exact',
  scores: 'exact',
  weights: 'exact',
  accumulate: 'exact',
  output: 'exact',
}
