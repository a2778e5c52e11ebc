/**
 * What an op is: one entry of a family's `op.ts`, from which everything else that must agree about it follows. The types of
 * a step and of its kernels, the words of a WebAssembly call, units, cost and scratch memory are all read from here.
 * README.md, beside this file, says how to add one.
 *
 * An `op.ts` is loaded by both threads and holds no kernel code.
 */

import { ALIGN } from '../layout.ts'
import type { Phase, Precision, Ref } from '../step-types.ts'

// ---- tensors ---------------------------------------------------------------------------------------------------------

/** Elements of the step's own precision. */
export type Reals = Float64Array | Float32Array
export type Elements = Reals | Int32Array | Uint8Array

type Role = 'in' | 'out' | 'work'
type ElementKind = 'int32' | 'uint8' | 'float64' | 'reals' | 'elements'

/**
 * `in` is read, `out` is written, every element of it, `work` is written and read by the op's own units; with `?` it may be
 * missing. The elements are of the step's precision unless a type follows: `in?:int32`. `reals` are of either precision
 * whatever the step's is, `elements` of any type.
 */
export type TensorSpec = `${Role}${'' | '?'}${'' | `:${ElementKind}`}`
export type TensorSpecs = Record<string, TensorSpec>

type ElementsOf<S> = S extends `${string}:int32`
  ? Int32Array
  : S extends `${string}:uint8`
    ? Uint8Array
    : S extends `${string}:float64`
      ? Float64Array
      : S extends `${string}:elements`
        ? Elements
        : Reals

type Flat<T> = { [K in keyof T]: T[K] }
type Optional<T> = { [K in keyof T]: T[K] extends `${Role}?${string}` ? K : never }[keyof T]

/** Tensors of no particular op. */
export type AnyTensors = Readonly<Record<string, Elements | undefined>>

/** What a kernel gets. */
export type TensorsOf<T> = string extends keyof T
  ? AnyTensors
  : Flat<
      { [K in Exclude<keyof T, Optional<T>>]: ElementsOf<T[K]> } & { [K in Optional<T>]?: ElementsOf<T[K]> }
    >
/** What a step says: the program's buffer for each tensor. */
export type RefsOf<T> = Flat<
  { [K in Exclude<keyof T, Optional<T>>]: Ref } & { [K in Optional<T>]?: Ref | undefined }
>

// ---- arguments -------------------------------------------------------------------------------------------------------

export interface OneOf<V extends string> {
  readonly oneOf: readonly V[]
}
export interface Data<V> {
  readonly data: true
  /** only for the type; never there */
  readonly value?: V
}

/** A number by the type it has in WebAssembly, a boolean (`flag?`: false where it is missing), a choice, or `data`. */
export type ArgSpec = 'i32' | 'u32' | 'f32' | 'f64' | 'flag' | 'flag?' | OneOf<string> | Data<unknown>
export type ArgSpecs = Record<string, ArgSpec>

/** One of these words; kernels in WebAssembly get its number in this order. */
export function oneOf<const V extends string>(...values: V[]): OneOf<V> {
  return { oneOf: values }
}

/** Any JSON value; it has no word of its own in a call (see `words`). */
export function data<V>(): Data<V> {
  return { data: true }
}

/** Arguments that several ops share. */
export function defineArgs<const A extends ArgSpecs>(args: A): A {
  return args
}

type ArgOf<S> =
  S extends OneOf<infer V> ? V : S extends Data<infer V> ? V : S extends 'flag' ? boolean : number

export type ArgsOf<A> = Flat<
  { -readonly [K in keyof A as A[K] extends 'flag?' ? never : K]: ArgOf<A[K]> } & {
    -readonly [K in keyof A as A[K] extends 'flag?' ? K : never]?: boolean
  }
>

// ---- ops -------------------------------------------------------------------------------------------------------------

export interface Cost {
  /** floating-point operations of the whole step, as plans tell them and limits count them */
  flops: number
  /** time that the whole step takes on one worker of the machine on which prices were measured */
  nanoseconds: number
}

/** Nanoseconds that one of a kind of work takes (a product, a pair, an element that is written), in each precision's kernel. */
export type Price = Readonly<Record<Precision, number>>

/** Measured: `npm run bench -- plans` says how well. One number where both precisions share a kernel. */
export function price(float32: number, float64 = float32): Price {
  return { float32, float64 }
}

/** What a step's cost may depend on beside the arguments and tensors. */
export interface StepContext {
  precision: Precision
  units: number
  /** pairs that are attended, over the whole batch, for one head; where the elements decide it, as many as there should be */
  area: number
  /** those that the time is reckoned with */
  reckoned: number
  /** inputs may hold non-finite values, and the kernels may have to take no shortcut */
  nonFinite: boolean
}

export interface CostContext<T> extends StepContext {
  /** the tensors that are there */
  tensors: RefsOf<T>
}

/** A word of a call that is worked out from the arguments and tensors rather than being one of them. */
export interface Word<T, A> {
  type: 'i32' | 'u32' | 'f32' | 'f64'
  of(a: ArgsOf<A>, t: TensorsOf<T>): number
}

export interface OpSpec<T extends TensorSpecs, A extends ArgSpecs> {
  tensors: T
  args: A
  /** pieces that the work is cut into; a kernel does any range of them, in any order, on any worker */
  units(a: ArgsOf<A>): number
  /** units of a chain run one after the other (they add to the same results); default 1: all are independent */
  chain?(a: ArgsOf<A>): number
  /** a worker is given whole groups of this many units where it can be */
  group?(a: ArgsOf<A>): number
  /** each kind of its work at its price; `flops` where there is arithmetic worth telling */
  cost(a: ArgsOf<A>, context: CostContext<T>): Pick<Cost, 'nanoseconds'> & Partial<Cost>
  /** which part of a request's life it belongs to, default `compute` */
  phase?: Phase
  /** one TypeScript kernel (`kernel.ts`) serves both precisions; else float64 is `reference.ts` and float32 `simd/` */
  shared?: true
  /** derived words of the WebAssembly call */
  words?: Record<string, Word<T, A>>
  /** work areas of the WebAssembly kernel: bytes by name */
  areas?: Record<string, Area<A>['bytes']>
  /** it has no WebAssembly kernel of its own: a call of it is these calls of another op's */
  pieces?: {
    op: Op
    cut(t: TensorsOf<T>, a: ArgsOf<A>, from: number, to: number): Iterable<Piece>
  }
}

/** A call that a call of an op is made of. */
export interface Piece {
  tensors: AnyTensors
  /** the same object in one call after the other where they are the same: what follows from them is not worked out again */
  args: Readonly<Record<string, unknown>>
  from: number
  to: number
}

interface Area<A> {
  bytes(a: ArgsOf<A>): number
}

export interface Op<
  N extends string = string,
  T extends TensorSpecs = TensorSpecs,
  A extends ArgSpecs = ArgSpecs,
> extends OpSpec<T, A> {
  readonly name: N
  readonly family: Family
  /** names of the tensors that it writes */
  readonly outputs: readonly string[]
}

/** Tensors, buffers and arguments of an op: `Tensors<typeof normForward>`. */
export type Tensors<O extends Op> = TensorsOf<O['tensors']>
export type Refs<O extends Op> = RefsOf<O['tensors']>
export type Args<O extends Op> = ArgsOf<O['args']>

/** A step: an op over a program's buffers. */
export interface StepOf<O extends Op> extends Cost {
  op: O['name']
  /** index of the program's buffer for each tensor of the op */
  tensors: Refs<O>
  args: Args<O>
  /** which kernels run it */
  precision: Precision
  phase: Phase
  /** an int32 buffer whose first element says, when the step starts, whether inputs hold non-finite values */
  nonFinite?: Ref | undefined
  units: number
  chain: number
  group?: number | undefined
}

/** The ops of one folder. Their WebAssembly kernels share one `Call` class. */
export class Family {
  /** of the folder */
  readonly name: string
  readonly ops: Op[] = []
  /** room for the words of a call; work areas stand behind it */
  readonly callBytes: number

  constructor(name: string, callBytes: number) {
    this.name = name
    this.callBytes = callBytes
  }

  define<const N extends string, const T extends TensorSpecs, const A extends ArgSpecs>(
    name: N,
    spec: OpSpec<T, A>,
  ): Op<N, T, A> {
    const outputs = Object.keys(spec.tensors).filter(tensor => spec.tensors[tensor].startsWith('out'))
    const op: Op<N, T, A> = { ...spec, name, family: this, outputs }
    this.ops.push(op)
    return op
  }
}

/** Room for the words of a call, as a rule. */
export const CALL_BYTES = 256

/** `callBytes` is for a family whose call has more words than that. */
export function defineFamily(name: string, { callBytes = CALL_BYTES } = {}): Family {
  return new Family(name, callBytes)
}

/** What an element that is written takes even where nothing is computed for it: sums over nothing are zeros. */
const WRITTEN_NANOSECONDS = 0.05

/** What is known about a step's size where it is made. */
export interface Wanted {
  /** of a step that does only a part of the op's work */
  units: number | undefined
  /** as in StepContext */
  area: number
  reckoned: number
}

/**
 * Fills in what a step takes, as its op says. One that has nothing to write has no units, however many its other extents would
 * make. Returns the bytes of scratch memory that a task which runs it needs.
 */
export function sizeStep<O extends Op>(
  op: O,
  step: StepOf<O>,
  buffers: readonly { length: number }[],
  { units, area, reckoned }: Wanted,
): number {
  const { args, precision } = step
  const tensors: Record<string, Ref | undefined> = step.tensors
  let written = 0
  let elements = 0
  for (const name of op.outputs) {
    const ref = tensors[name]
    if (ref === undefined) continue
    written++
    elements += buffers[ref].length
  }
  step.units = written > 0 && elements === 0 ? 0 : (units ?? op.units(args))
  step.chain = op.chain?.(args) ?? 1
  step.group = op.group?.(args)
  const nonFinite = step.nonFinite !== undefined
  const context = { precision, units: step.units, tensors: step.tensors, area, reckoned, nonFinite }
  const { flops = 0, nanoseconds } = op.cost(args, context)
  step.flops = flops
  step.nanoseconds = nanoseconds + elements * WRITTEN_NANOSECONDS
  return precision === 'float32' && !op.shared ? areaBytes(scratchBytes(op, args)) : 0
}

export function isOp(value: unknown): value is Op {
  return typeof value === 'object' && value !== null && 'family' in value
}

// ---- scratch memory --------------------------------------------------------------------------------------------------

/** Bytes of scratch memory that a WebAssembly call needs: its words, then its work areas. */
export function scratchBytes<N extends string, T extends TensorSpecs, A extends ArgSpecs>(
  { family, areas = {} }: Op<N, T, A>,
  a: ArgsOf<A>,
): number {
  let sum = family.callBytes
  for (const name in areas) sum += areaBytes(areas[name](a))
  return sum
}

export function areaBytes(bytes: number): number {
  return Math.ceil(bytes / ALIGN) * ALIGN
}
