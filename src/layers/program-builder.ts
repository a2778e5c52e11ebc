/** A program with its ends: which tensors of the request go into which buffers, and which buffers are the answer. */

import { decodeTensor } from '../../workers/ops/text/op.ts'
import type { Step, StepDraft } from '../../workers/program.ts'
import type { BufferType, Precision, Ref } from '../../workers/task.ts'
import { decodeArgs, type TensorSource } from '../formats/tensor.ts'
import { ProgramBuilder } from '../program.ts'

export interface OutputTensor {
  /** `output`, `grads.q`, … */
  name: string
  buffer: Ref
  shape: number[]
  /** on the wire, where it is not the request's to choose */
  dtype?: 'uint8'
}

export interface OutputScalar {
  name: string
  /** a float64 buffer and the element that holds it */
  buffer: Ref
  index: number
}

export class RequestProgram extends ProgramBuilder {
  readonly outputs: OutputTensor[] = []
  readonly scalars: OutputScalar[] = []
  /** what the answer says that is known before anything is computed */
  readonly facts: Record<string, string> = {}
  /** set with `non_finite: "propagate"`: where decode steps note that an input holds a NaN or infinity */
  readonly nonFinite: Ref | undefined
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

  override stage(...steps: StepDraft[]): void {
    if (steps.length === 0) return
    super.stage(...steps, ...this.#checks)
    this.#checks = []
  }

  /** A tensor of the request, in the program's precision. */
  input(pointer: string, source: TensorSource): Ref {
    const inPlace = this.#inPlace(source)
    const into = inPlace ?? this.#room(this.precision, source)
    const step = this.#decode(pointer, source, into, false)
    if (step === undefined) return into
    // kernels that must know of non-finite values wait for the check; others need not
    if (inPlace !== undefined && this.nonFinite === undefined) this.#checks.push(step)
    else this.#decodes.push(step)
    return into
  }

  /** A mask: bytes for bool, else reals in which −∞ is a value like any other. */
  inputMask(pointer: string, source: TensorSource): Ref {
    const into = this.#room(source.dtype === 'bool' ? 'uint8' : this.precision, source)
    const step = this.#decode(pointer, source, into, true)
    if (step !== undefined) this.#decodes.push(step)
    return into
  }

  /** Adds a step that reads no tensor of the request: it stands beside those that read them. */
  prepare(step: StepDraft): void {
    if (step.units > 0) this.#decodes.push(this.complete({ ...step, phase: 'decode' } as StepDraft))
  }

  /** Shapes of what came in, by pointer, for the log; a stack has thousands of parameters, which are only counted. */
  get inputShapes(): Record<string, number[] | number> {
    const inputs = [...this.#sources.values()]
    const isParam = ({ pointer }: { pointer: string }) => /^(\/stack)?\/params\//.test(pointer)
    const params = inputs.filter(isParam).length
    return {
      ...Object.fromEntries(
        inputs.filter(each => !isParam(each)).map(({ pointer, source }) => [pointer.slice(1), source.shape]),
      ),
      ...(params > 0 && { params }),
    }
  }

  /** The input that a decode step reads. */
  inputOf(step: Step): { pointer: string; source: TensorSource } | undefined {
    return this.#sources.get(step)
  }

  output(name: string, buffer: Ref, shape: number[]): void {
    this.keep(buffer)
    this.outputs.push({ name, buffer, shape })
  }

  scalar(name: string, buffer: Ref, index: number): void {
    this.keep(buffer)
    this.scalars.push({ name, buffer, index })
  }

  /** A tensor that is only a shape (a plan, a benchmark) is filled in by nobody, or before the program starts. */
  #room(type: BufferType, { count, form }: TensorSource): Ref {
    return this.buffer({ type, length: count, early: form === 'shape' })
  }

  /** Bytes of the right type in the body itself need only be checked, not copied. */
  #inPlace(source: TensorSource): Ref | undefined {
    const at = source.bytes.byteOffset + source.start
    if (source.form !== 'safetensors' || source.dtype !== this.precision || at % 8 !== 0) return undefined
    return this.buffer({ type: this.precision, length: source.count, at })
  }

  #decode(
    pointer: string,
    source: TensorSource,
    into: Ref,
    allowNegativeInfinity: boolean,
  ): Step | undefined {
    if (source.form === 'shape' || source.count === 0) return undefined
    const { byteOffset: at, byteLength: length } = source.bytes
    const args = decodeArgs(source, { rejectNonFinite: this.nonFinite === undefined, allowNegativeInfinity })
    const body = this.buffer({ type: 'uint8', length, at })
    const step = this.step(decodeTensor, { body, into, seen: this.nonFinite }, args)
    this.#sources.set(step, { pointer, source })
    return step
  }
}
