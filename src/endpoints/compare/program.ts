/** A program that evaluates a request twice: in float64, and as an eager program of a candidate's dtype does. */
import type { Precision, Ref, Step } from '../../../workers/contract.ts'
import type { AttentionArgs } from '../../../workers/ops/attention/op.ts'
import { roundElements } from '../../../workers/ops/compare/op.ts'
import type {
  ArgSpecs,
  ArgsOf,
  Op,
  Refs,
  RefsOf,
  StepOf,
  TensorSpecs,
} from '../../../workers/ops/define-op.ts'
import {
  type CappedArgs,
  type CappedBackwardArgs,
  cappedBackward,
  cappedForward,
  type ExactArgs,
  type ExactBackwardArgs,
  exactBackward,
  exactForward,
  type PlainArgs,
  type PlainBackwardArgs,
  plainBackward,
  plainForward,
} from '../../../workers/ops/plain-attention/op.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import { RequestProgram, type StepOptions } from '../../layers/program-builder.ts'
import { BYTES } from '../../program.ts'
import type { Alteration, Attention, Call, Evaluation } from './alteration.ts'
import type { Dtype } from './request.ts'
import { wholeOf } from './slices.ts'

export class ComparedProgram extends RequestProgram {
  override readonly positionsFirst = false
  /** of the evaluation that is compiled */
  declare precision: Precision
  /** float64 [rows, 3] of each attention of the baseline */
  readonly extremes: Ref[] = []
  /** what a hypothesis changes */
  alteration: Alteration | undefined
  /** of the evaluation that is compiled */
  #attentions: Attention[] = []
  /** while a baseline is compiled */
  #dtype: Dtype | undefined
  /** what a baseline's steps write, to be rounded */
  readonly #written = new Map<Step, Ref[]>()

  override input(pointer: string, source: TensorSource): Ref {
    const from = this.alteration?.source?.(pointer, source) ?? source
    const read = (source: TensorSource) => super.input(pointer, source)
    const x = this.#rounded(this.#sliced(from, read), from)
    return this.alteration?.input?.(this, pointer, x) ?? x
  }

  /** Compiles an evaluation; what it would answer stays in the program. `dtype`: a plain one. */
  *evaluate(dtype: Dtype | undefined, compile: () => Generator<void> | void): Generator<void, Evaluation> {
    this.#dtype = dtype
    this.precision = dtype === undefined ? 'float64' : 'float32'
    const compiling = compile()
    if (compiling !== undefined) yield* compiling
    this.#dtype = undefined
    const evaluation = new Map(this.outputs.splice(0).map(output => [output.name, output]))
    this.alteration?.answer?.(this, evaluation, this.#attentions)
    this.#attentions = []
    this.precision = 'float64'
    for (const name of Object.keys(this.facts)) delete this.facts[name]
    for (const { buffer } of [...evaluation.values(), ...this.scalars.splice(0)]) {
      this.buffers[this.buffers[buffer].within?.buffer ?? buffer].keep = false
    }
    return evaluation
  }

  override inputMask(pointer: string, source: TensorSource): Ref {
    const x = this.#sliced(source, whole => super.inputMask(pointer, whole))
    const y = source.dtype === 'bool' ? x : this.#rounded(x, source)
    return this.alteration?.input?.(this, pointer, y) ?? y
  }

  override inputAsItIs(pointer: string, source: TensorSource): Ref {
    return this.#sliced(source, whole => super.inputAsItIs(pointer, whole))
  }

  /** A part of a tensor that is read whole. */
  #sliced(source: TensorSource, read: (source: TensorSource) => Ref): Ref {
    const slice = wholeOf(source)
    if (slice === undefined) return read(source)
    const x = read(slice.whole)
    const { type, at } = this.buffers[x]
    if (at === undefined) return this.part(x, slice.start, source.count)
    return this.buffer({ type, length: source.count, at: at + slice.start * BYTES[type] })
  }

  #rounded(x: Ref, source: TensorSource): Ref {
    const dtype = this.#dtype
    if (dtype === undefined || dtype === 'float32' || source.dtype === dtype) return x
    const { length: count } = this.buffers[x]
    const y = this.reals(count)
    super.stage(super.step(roundElements, { x, y }, { count, dtype }))
    return y
  }

  override step<N extends string, T extends TensorSpecs, A extends ArgSpecs>(
    op: Op<N, T, A>,
    tensors: RefsOf<T>,
    args: ArgsOf<A>,
    options: StepOptions = {},
  ): StepOf<Op<N, T, A>> {
    const dtype = this.#dtype
    if (op.name === 'attentionForward') {
      this.#attentions.push({ ...(tensors as unknown as Attention), args: args as unknown as AttentionArgs })
    }
    const calls = this.#altered(op.name, { tensors, args } as unknown as Call)
    const steps = calls.map(call =>
      this.#stepOf(
        dtype,
        op,
        call.tensors as unknown as RefsOf<T>,
        call.args as unknown as ArgsOf<A>,
        options,
      ),
    )
    for (const step of steps.slice(0, -1)) this.stage(step as unknown as Step)
    return steps[steps.length - 1]
  }

  /** What a hypothesis makes of a call of attention; any other is as it is. */
  #altered(name: string, call: Call): Call[] {
    const { masks, backward } = this.alteration ?? {}
    if (name !== 'attentionForward' && name !== 'attentionBackward') return [call]
    const masked = masks === undefined ? call : masks(this, call)
    return name === 'attentionBackward' && backward !== undefined ? backward(this, masked) : [masked]
  }

  #stepOf<N extends string, T extends TensorSpecs, A extends ArgSpecs>(
    dtype: Dtype | undefined,
    op: Op<N, T, A>,
    tensors: RefsOf<T>,
    args: ArgsOf<A>,
    options: StepOptions,
  ): StepOf<Op<N, T, A>> {
    const plain = this.#plainStep(op.name, tensors, { ...args, dtype: dtype ?? 'exact' }, options)
    if (plain !== undefined) return plain as unknown as StepOf<Op<N, T, A>>
    const step = super.step(op, tensors, args, options)
    if (dtype !== undefined && dtype !== 'float32') {
      const refs = op.outputs.map(name => (tensors as Record<string, Ref | undefined>)[name])
      const reals = refs.filter(ref => ref !== undefined && this.buffers[ref].type === 'float32')
      this.#written.set(step as unknown as Step, reals as Ref[])
    }
    return step
  }

  override stage(...steps: Step[]): void {
    super.stage(...steps)
    const dtype = this.#dtype
    if (dtype === undefined) return
    const written = new Set(steps.flatMap(step => this.#written.get(step) ?? []))
    const rounding = [...written].map(x =>
      super.step(roundElements, { x, y: x }, { count: this.buffers[x].length, dtype }),
    )
    super.stage(...rounding)
  }

  /** Attention's own two steps have others in their place, over the same tensors: exact or plain ones, or those that cap last. */
  #plainStep(name: string, tensors: object, args: object, options: StepOptions) {
    const capped = this.alteration?.cappedLast === true
    const exact = this.#dtype === undefined && !capped
    if (name === 'attentionForward' && exact) {
      return super.step(exactForward, tensors as Refs<typeof exactForward>, args as ExactArgs, options)
    }
    if (name === 'attentionForward') {
      const { batch, heads, queries } = args as PlainArgs
      const extremes = this.buffer({ type: 'float64', length: 3 * batch * heads * queries })
      const refs = { ...(tensors as Refs<typeof plainForward>), extremes }
      if (this.#dtype !== undefined) this.extremes.push(extremes)
      if (capped) return super.step(cappedForward, refs, args as CappedArgs, options)
      return super.step(plainForward, refs, args as PlainArgs, options)
    }
    if (name !== 'attentionBackward') return undefined
    const { delta: _, ...refs } = tensors as Refs<typeof plainBackward> & { delta: Ref }
    const own = args as PlainBackwardArgs
    const rows = own.batch * own.heads * own.queries * own.dimK
    const sums = refs.gradQParts === undefined || rows === 0 ? 0 : this.buffers[refs.gradQParts].length / rows
    if (exact) return super.step(exactBackward, refs, { ...(args as ExactBackwardArgs), sums }, options)
    if (capped) return super.step(cappedBackward, refs, { ...(args as CappedBackwardArgs), sums }, options)
    return super.step(plainBackward, refs, { ...own, sums }, options)
  }
}
