/** The parameters of a layer or a stack: given by the request, or drawn from a seed. */
import * as z from 'zod'
import type { Ref, Step } from '../../workers/contract.ts'
import { type InitialiseArgs, initialise } from '../../workers/ops/initialise/op.ts'
import { jsonPointer } from '../../workers/text/json-pointer.ts'
import { product, type TensorSource } from '../formats/tensor.ts'
import type { TensorKinds } from '../formats/tensor-fields.ts'
import { fieldProblem } from '../problem.ts'
import { seedWords } from './attention/plan.ts'
import { expectShape, wrong } from './geometry.ts'
import type { Differentiable, Param } from './gradients.ts'
import { keptInput } from './kept.ts'
import type { RequestProgram } from './program-builder.ts'

export const initField = z
  .strictObject({
    scheme: z
      .enum(['xavier_uniform', 'xavier_normal', 'he_uniform', 'he_normal'])
      .default('xavier_uniform')
      .describe('Glorot & Bengio 2010, or He et al. 2015; fans are those of the whole matrix'),
    seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
    bias: z.boolean().default(false).describe('whether there are biases (of 0)'),
  })
  .describe(
    'Draw the parameters instead: the same seed gives the same parameters on every machine. Biases and beta are 0, gamma is 1. ' +
      '`"return":["params"]` hands them back.',
  )

export type InitOptions = z.output<typeof initField>

export function paramsField(
  tensors: TensorKinds,
  shapes: Record<string, string>,
  optional: Record<string, string>,
) {
  const member = (shape: string) => tensors.values.describe(shape)
  return z
    .strictObject({
      ...Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, member(shape)])),
      ...Object.fromEntries(
        Object.entries(optional).map(([name, shape]) => [name, member(shape).optional()]),
      ),
    })
    .optional()
    .describe('the parameters, or `init` instead')
}

/** In `wrt`, beside the names of inputs. */
export const paramName = z.string().regex(/^params\../, 'the name of an input or "params.<name>"')

export interface ParamFields {
  params?: Record<string, TensorSource | undefined> | undefined
  init?: InitOptions | undefined
}

/** `weight` is drawn, `bias` is 0 (where `init` has biases), `gamma` is 1 and `beta` 0. */
export type ParamRole = 'weight' | 'bias' | 'gamma' | 'beta'

export class Params {
  readonly #p: RequestProgram
  readonly #given: ParamFields['params']
  readonly #init: InitOptions | undefined
  readonly #pointer: string
  readonly #taken = new Map<string, Param>()
  /** steps that draw parameters, or widen kept ones, which are in no stage yet */
  #draws: Step[] = []
  #streams = 0

  /** `pointer`: where params and init stand in the request. */
  constructor(p: RequestProgram, { params, init }: ParamFields, pointer: string) {
    if ((params === undefined) === (init === undefined)) {
      const got = params === undefined ? 'neither' : 'both'
      throw fieldProblem('INVALID_REQUEST', pointer, `expected one of params and init, got ${got}`)
    }
    this.#p = p
    this.#given = params
    this.#init = init
    this.#pointer = `${pointer}/params`
  }

  /** Whether parameters are given rather than drawn. */
  get given(): boolean {
    return this.#given !== undefined
  }

  has(name: string): boolean {
    return this.#given?.[name] !== undefined
  }

  /** Extent of a given weight matrix along `axis`; undefined where parameters are drawn. */
  extent(name: string, axis: 0 | 1): number | undefined {
    if (this.#given === undefined) return undefined
    const source = this.#source(name)
    if (source.shape.length !== 2) wrong(this.#at(name), source, 'expected rank 2')
    if (source.shape[axis] === 0) wrong(this.#at(name), source, 'expected no empty axis')
    return source.shape[axis]
  }

  /** A parameter that must be there. */
  take(name: string, shape: number[], role: ParamRole): Ref {
    const given = this.#given === undefined ? undefined : this.#source(name)
    if (given !== undefined) expectShape(this.#at(name), given, shape)
    const ref = given === undefined ? this.#make(shape, role) : this.#input(name, given)
    this.#taken.set(name, { name, shape, ref })
    return ref
  }

  /** A parameter that may be missing: when given, or where `init` says so for biases. */
  maybe(name: string, shape: number[], role: ParamRole): Ref | undefined {
    const there = this.#given === undefined ? role !== 'bias' || this.#init?.bias : this.has(name)
    return there ? this.take(name, shape, role) : undefined
  }

  /** The steps that draw what was taken since the last call: they go into a stage before the parameters are read. */
  draws(): Step[] {
    const draws = this.#draws
    this.#draws = []
    return draws
  }

  /** All are taken: refuses given ones that nothing took. */
  finish(): Param[] {
    const unknown = Object.keys(this.#given ?? {}).find(name => !this.#taken.has(name))
    if (unknown !== undefined) {
      throw fieldProblem('INVALID_REQUEST', this.#at(unknown), 'expected no such parameter, got one')
    }
    return [...this.#taken.values()]
  }

  /** What `wrt` may name of them, all wanted by default. */
  get differentiable(): Differentiable {
    return Object.fromEntries([...this.#taken.keys()].map(name => [`params.${name}`, true]))
  }

  #input(name: string, given: TensorSource): Ref {
    if (given.form !== 'kept') return this.#p.input(this.#at(name), given)
    const { ref, step } = keptInput(this.#p, given)
    if (step !== undefined) this.#draws.push(step)
    return ref
  }

  #source(name: string): TensorSource {
    const source = this.#given?.[name]
    if (source !== undefined) return source
    throw fieldProblem('INVALID_REQUEST', this.#at(name), 'expected a tensor, got nothing')
  }

  #at(name: string): string {
    return this.#pointer + jsonPointer(name)
  }

  /** A buffer of whatever size, which admission may refuse: nothing of that size is made here. */
  #make(shape: number[], role: ParamRole): Ref {
    const count = product(shape)
    const into = this.#p.reals(count)
    const { scheme, seed } = this.#init as InitOptions
    const stream = this.#streams
    const args = { count, ...distributionOf(scheme, shape, role), ...seedWords(seed), stream }
    if (role === 'weight') this.#streams++
    this.#draws.push(this.#p.step(initialise, { into }, args))
    return into
  }
}

function distributionOf(
  scheme: InitOptions['scheme'],
  shape: number[],
  role: ParamRole,
): Pick<InitialiseArgs, 'distribution' | 'scale'> {
  if (role !== 'weight') return { distribution: 'constant', scale: role === 'gamma' ? 1 : 0 }
  return {
    distribution: scheme.endsWith('uniform') ? 'uniform' : 'normal',
    scale: initScale(scheme, shape),
  }
}

/**
 * Bound of the uniform, or standard deviation of the normal distribution, for a weight matrix [fan_in, fan_out]:
 * Xavier keeps the variance of activations and gradients, 2/(fan_in + fan_out); He makes up for a ReLU, 2/fan_in.
 * Sources: Glorot & Bengio 2010; He et al. 2015.
 */
export function initScale(scheme: InitOptions['scheme'], [fanIn, fanOut]: number[]): number {
  const variance = scheme.startsWith('xavier') ? 2 / (fanIn + fanOut) : 2 / fanIn
  return Math.sqrt(scheme.endsWith('uniform') ? 3 * variance : variance)
}
