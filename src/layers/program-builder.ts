/** A program with its ends: which tensors of the request go into which buffers, and which buffers are the answer. */

import type { BufferType, Precision, Ref, Step } from '../../workers/contract.ts'
import {
  type ArgSpecs,
  type ArgsOf,
  type Op,
  type RefsOf,
  type StepOf,
  sizeStep,
  type TensorSpecs,
  type Wanted,
} from '../../workers/ops/define-op.ts'
import { type DecodeArgs, decodeTensor } from '../../workers/ops/text/op.ts'
import type { TensorSource } from '../formats/tensor.ts'
import { Problem } from '../problem.ts'
import type { Barrier, BufferSpec, Program } from '../program.ts'
import type { Frame, FramePlace, KeptMap, LossTerm, OutputScalar, OutputTensor } from './outputs.ts'

/** What a step may be told beside its tensors and arguments. */
export interface StepOptions extends Partial<Wanted> {
  /** where inputs say whether they hold non-finite values */
  nonFinite?: Ref | undefined
  precision?: Precision
}

/** Workers count a stage's units in 32-bit words. */
const UNITS_LIMIT = 2 ** 31
/** Steps that are asked between two pauses. */
const PAUSE_STEPS = 256
export class ProgramBuilder implements Program {
  /** of its steps and buffers, where they name none */
  readonly precision: Precision
  readonly buffers: BufferSpec[] = []
  readonly stages: Step[][] = []
  readonly barriers: Barrier[] = []
  readonly later: Step[] = []
  scratchBytes = 0
  /** steps whose ops have not been asked yet what they take */
  readonly #unsized: { step: StepOf<Op>; op: Op; wanted: Wanted }[] = []

  constructor(precision: Precision) {
    this.precision = precision
  }

  /** A buffer in the program's own precision. */
  reals(length: number, data?: ArrayLike<number>): Ref {
    return this.buffer({ type: this.precision, length, ...(data && { data }) })
  }

  buffer(spec: BufferSpec): Ref {
    this.buffers.push(spec)
    return this.buffers.length - 1
  }

  /** `length` elements of a buffer from `start` on, as a buffer. */
  part(buffer: Ref, start: number, length: number): Ref {
    return this.buffer({ type: this.buffers[buffer].type, length, within: { buffer, start } })
  }

  /** What is read when the program has run: an answer, or what an answer is written from. */
  keep(buffer: Ref): void {
    this.buffers[this.buffers[buffer].within?.buffer ?? buffer].keep = true
  }

  /** A step of `op`, which says everything else about it (see `finish`). It is the caller's to put into a stage. */
  step<N extends string, T extends TensorSpecs, A extends ArgSpecs>(
    op: Op<N, T, A>,
    tensors: RefsOf<T>,
    args: ArgsOf<A>,
    { nonFinite, area = 0, reckoned = area, units, precision = this.precision }: StepOptions = {},
  ): StepOf<Op<N, T, A>> {
    const step = {
      op: op.name,
      tensors,
      args,
      precision,
      phase: op.phase ?? 'compute',
      nonFinite,
      units: 0,
      chain: 1,
      group: undefined,
      flops: 0,
      nanoseconds: 0,
    }
    this.#unsized.push({ step, op, wanted: { area, reckoned, units } })
    return step
  }

  /** The names of what each step writes that is there so far. */
  written(): Map<object, readonly string[]> {
    return new Map(this.#unsized.map(({ step, op }) => [step, op.outputs]))
  }

  /** Adds a stage of independent steps. */
  stage(...steps: Step[]): void {
    if (steps.length > 0) this.stages.push(steps)
  }

  /**
   * Asks the ops what their steps take, and leaves out those without units. It is done once, when the program is whole: a
   * plan may fill in arguments until then. It pauses now and then.
   */
  *finishing(): Generator<void, void> {
    let sized = 0
    for (const { step, op, wanted } of this.#unsized.splice(0)) {
      const scratch = sizeStep(op, step, this.buffers, wanted)
      this.scratchBytes = Math.max(this.scratchBytes, scratch)
      if (++sized % PAUSE_STEPS === 0) yield
    }
    /** how many stages are left up to each of them */
    const left: number[] = []
    let length = 0
    for (const steps of this.stages) {
      const some: Step[] = []
      let units = 0
      for (const step of steps) {
        if (step.units > 0) some.push(step)
        units += step.units
      }
      // where an extent is 0 the others cost their sender nothing, and what is left may still be too much
      if (some.length > 0 && !(units < UNITS_LIMIT)) {
        const expected = `expected fewer than ${UNITS_LIMIT} units of work in one stage`
        throw new Problem('COMPUTE_TOO_LARGE', `${expected}, got ${units} (${some[0].op})`)
      }
      // the first one stays in any case: a barrier stands behind a stage
      if (some.length > 0 || left.length === 0) this.stages[length++] = some
      if (left.push(length) % PAUSE_STEPS === 0) yield
    }
    this.stages.length = length
    for (const barrier of this.barriers) barrier.stage = left[barrier.stage] - 1
    for (const { skip } of this.barriers) if (skip !== undefined) skip.to = left[skip.to - 1]
  }

  /** The same without a pause. */
  finish(): void {
    for (const _ of this.finishing());
  }
}

export class RequestProgram extends ProgramBuilder {
  /** whether tensors with positions before heads may stay so; else they are put in the order of kernels that know no other */
  readonly positionsFirst: boolean = true
  readonly outputs: OutputTensor[] = []
  readonly scalars: OutputScalar[] = []
  override readonly barriers: Frame[] = []
  readonly kept: KeptMap[] = []
  /** where the inputs stand that are read from here on: their pointers go on from there */
  inputsBelow = ''
  /** what the answer says that is known before anything is computed */
  readonly facts: Record<string, unknown> = {}
  /** what the answer says that is read from the program's float64 buffers when it has run, instead of tensors */
  report: Frame['report']
  /** set with `non_finite: "propagate"`: where decode steps note that an input holds a NaN or infinity */
  readonly nonFinite: Ref | undefined
  /** shapes of what came in, by pointer, for the log; a stack has thousands of parameters, which are only counted */
  readonly inputShapes: Record<string, number[] | number> = {}
  readonly #sources = new Map<Step, { pointer: string; source: TensorSource }>()
  readonly #decodes: Step[] = []
  /** of tensors used in place: they may run beside the first step that computes */
  #checks: Step[] = []

  constructor(precision: Precision, nonFinite: 'reject' | 'propagate') {
    super(precision)
    this.nonFinite =
      nonFinite === 'propagate' ? this.buffer({ type: 'int32', length: 1, data: [0] }) : undefined
    this.stages.push(this.#decodes)
  }

  override stage(...steps: Step[]): void {
    if (steps.length === 0) return
    super.stage(...steps, ...this.#checks)
    this.#checks = []
  }

  /** A tensor of the request, in the program's precision. */
  input(pointer: string, source: TensorSource): Ref {
    const inPlace = this.#inPlace(source, this.precision)
    const into = inPlace ?? this.#room(this.precision, source)
    const step = this.#decode(pointer, source, into)
    if (step === undefined) return into
    // kernels that must know of non-finite values wait for the check; others need not
    if (inPlace !== undefined && this.nonFinite === undefined) this.#checks.push(step)
    else this.#decodes.push(step)
    return into
  }

  /** A tensor of the request in float64, whatever its elements are: NaN and infinities are values like any other. */
  inputAsItIs(pointer: string, source: TensorSource): Ref {
    const into = this.#inPlace(source, 'float64') ?? this.#room('float64', source)
    if (this.buffers[into].at !== undefined) return into
    const step = this.#decode(pointer, source, into, { everything: true })
    if (step !== undefined) this.#decodes.push(step)
    return into
  }

  /** A mask: bytes for bool, else reals in which −∞ is a value like any other. */
  inputMask(pointer: string, source: TensorSource): Ref {
    return this.#read(pointer, source, source.dtype === 'bool' ? 'uint8' : this.precision, true)
  }

  /** A tensor of the request in float64 whatever the precision; −∞ is an element like any other. */
  inputDouble(pointer: string, source: TensorSource): Ref {
    return this.#read(pointer, source, 'float64', true)
  }

  /** A tensor of the request whose elements are whole numbers that int32 can hold. */
  inputWhole(pointer: string, source: TensorSource): Ref {
    return this.#read(pointer, source, 'int32')
  }

  /** Adds a step that reads no tensor of the request: it stands beside those that read them. */
  prepare(step: Step): void {
    step.phase = 'decode'
    this.#decodes.push(step)
  }

  /** The input that a decode step reads. */
  inputOf(step: Step): { pointer: string; source: TensorSource } | undefined {
    return this.#sources.get(step)
  }

  /** `dtype`: on the wire, where it is not the request's to choose. */
  output(name: string, buffer: Ref, shape: number[], guide?: Ref, dtype?: OutputTensor['dtype']): void {
    this.keep(buffer)
    this.outputs.push({ name, buffer, shape, guide, ...(dtype && { dtype }) })
  }

  scalar(name: string, buffer: Ref, index: number): void {
    this.keep(buffer)
    this.scalars.push({ name, buffer, index })
  }

  /** Told what the loss has beside the scalar of its name, for a program that needs the loss itself. */
  lossTerm(_term: LossTerm): void {}
  /** Something is complete: `outputs` and what `report` says leave before the program goes on. */
  barrier(at: FramePlace, outputs: OutputTensor[], report?: Frame['report']): Frame {
    this.barriers.push({ stage: this.stages.length - 1, buffers: [], ...at, outputs, report })
    return this.barriers[this.barriers.length - 1]
  }

  keepMap(map: KeptMap): void {
    this.keep(map.buffer)
    this.kept.push(map)
  }

  #read(pointer: string, source: TensorSource, type: BufferType, negativeInfinity = false): Ref {
    const into = this.#room(type, source)
    const step = this.#decode(pointer, source, into, { negativeInfinity })
    if (step !== undefined) this.#decodes.push(step)
    return into
  }

  /** A tensor that is only a shape (a plan, a benchmark) is never filled in, or before the program starts. */
  #room(type: BufferType, { count, form }: TensorSource): Ref {
    return this.buffer({ type, length: count, preloaded: form === 'shape' })
  }

  /** Bytes of the right type in the body itself need only be checked, not copied. */
  #inPlace(source: TensorSource, type: Precision): Ref | undefined {
    const at = source.bytes.byteOffset + source.start
    if (source.form !== 'safetensors' || source.dtype !== type || at % 8 !== 0) return undefined
    return this.buffer({ type, length: source.count, at })
  }

  #decode(
    pointer: string,
    source: TensorSource,
    into: Ref,
    { negativeInfinity = false, everything = false } = {},
  ): Step | undefined {
    if (source.form === 'shape' || source.count === 0) return undefined
    const { byteOffset: at, byteLength: length } = source.bytes
    const rejectNonFinite = this.nonFinite === undefined && !everything
    const args = decodeArgs(source, { rejectNonFinite, allowNegativeInfinity: negativeInfinity })
    const body = this.buffer({ type: 'uint8', length, at })
    const step = this.step(decodeTensor, { body, into, seen: everything ? undefined : this.nonFinite }, args)
    const place = this.inputsBelow + pointer
    this.#sources.set(step, { pointer: place, source })
    if (place.startsWith('/past/')) this.inputShapes.past = source.shape
    else if (!PARAMETER.test(place)) this.inputShapes[place.slice(1)] = source.shape
    else this.inputShapes.params = Number(this.inputShapes.params ?? 0) + 1
    return step
  }
}

const PARAMETER = /^(\/body)?(\/encoder)?(\/stack)?\/params\//

/** What the decode op needs to know of it. */
export function decodeArgs(
  source: TensorSource,
  policy: Pick<DecodeArgs, 'rejectNonFinite' | 'allowNegativeInfinity'>,
): DecodeArgs {
  const { form, start, end, dtype, count, marks, escaped } = source
  const other = form === 'nested' || form === 'flat' ? 'json' : 'raw'
  return { form: form === 'base64' ? form : other, start, end, dtype, count, marks, escaped, ...policy }
}
