/**
 * A program's outputs → an answer in JSON or safetensors.
 *
 * Small answers are written by the program's own last steps and sent in one piece. Large ones leave while they are
 * written: JSON text window by window, safetensors straight from the memory the kernels wrote.
 */

import type { EncodeArgs } from '../../workers/ops/text/op.ts'
import type { Step } from '../../workers/program.ts'
import { type BufferType, type Ref, WRITTEN_BYTES } from '../../workers/task.ts'
import { encodeSlotBytes, encodeUnits } from '../../workers/text/encode.ts'
import type { Placement } from '../engine/job.ts'
import { type BodyFormat, MEDIA_TYPES } from '../formats/body.ts'
import { safetensorsHeader } from '../formats/safetensors.ts'
import { product } from '../formats/tensor.ts'
import type { OutputTensor, RequestProgram } from '../layers/program-builder.ts'
import { Problem } from '../problem.ts'
import { answerTree, jsonPieces } from './reply-text.ts'

/** An answer of at most so many bytes is one piece. */
const WHOLE_BYTES = 512 * 1024
/** Bytes of brackets that a nested tensor without elements may have. */
const MOST_BRACKETS = 1 << 20
/** Units of text written at once for a larger one. */
const WINDOW_UNITS = 4

export interface AnswerStyle {
  format: BodyFormat
  /** of tensors in JSON */
  encoding: 'nested' | 'flat' | 'base64'
  /** of tensors that name no type themselves */
  dtype: EncodeArgs['dtype']
  /** what the rest of the answer is called in safetensors' metadata; `frame`: a message of a stream */
  rest?: 'response' | 'frame'
}

interface Encoding {
  output: OutputTensor
  args: EncodeArgs
  units: number
  slotBytes: number
  into: Ref
  lengths: Ref
}

/** Runs one encode step now, over [from, to) of its units. */
export type RunStep = (step: Step) => Promise<void>

export class Answer {
  readonly #style: AnswerStyle
  readonly #outputs: OutputTensor[]
  readonly #encodings: (Encoding | undefined)[]
  /** the whole answer is written by the program itself */
  readonly whole: boolean
  /** what must stay in its place until the answer has been written */
  readonly buffers: Ref[] = []

  /** Adds to the program what writing these tensors takes: buffers, and for small answers the steps. */
  constructor(program: RequestProgram, outputs: OutputTensor[], style: AnswerStyle) {
    this.#outputs = outputs
    this.#style = style
    const planned = outputs.map(output => plan(output, style, program.buffers[output.buffer].type))
    for (const { output, slotBytes } of planned) {
      if (product(output.shape) > 0 || slotBytes <= MOST_BRACKETS) continue
      throw new Problem(
        'MEMORY_TOO_LARGE',
        `expected fewer empty arrays, got ${output.name} of shape [${output.shape.join(', ')}]`,
      )
    }
    const bytes = planned.reduce((sum, { output, args, units, slotBytes }) => {
      return sum + (args === undefined ? this.#size(output) : units * slotBytes)
    }, 0)
    this.whole = bytes <= WHOLE_BYTES
    this.#encodings = planned.map(({ output, args, units, slotBytes }) => {
      this.buffers.push(output.buffer)
      if (args === undefined) return undefined
      const slots = this.whole || args.form === 'raw' ? units : Math.min(units, WINDOW_UNITS)
      const into = program.buffer({ type: 'uint8', length: slots * slotBytes })
      const lengths = program.buffer({ type: 'int32', length: slots })
      this.buffers.push(into, lengths)
      return { output, args, units, slotBytes, into, lengths }
    })
    // raw bytes of another type are written by the program in any case: they are no larger than the tensors
    const steps = this.#encodings.filter(encoding => encoding !== undefined)
    program.stage(
      ...steps
        .filter(({ args }) => this.whole || args.form === 'raw')
        .map(step => encodeStep(step, 0, step.units)),
    )
  }

  get mediaType(): string {
    return MEDIA_TYPES[this.#style.format]
  }

  /** The answer's length in bytes where it is known before it is written. */
  length(rest: Record<string, unknown>): number | undefined {
    if (this.#style.format !== 'safetensors') return undefined
    return this.#header(rest).length + this.#outputs.reduce((sum, output) => sum + this.#size(output), 0)
  }

  /** The pieces of the answer in order: bytes, and tensors whose text is to be written. `rest`: what is no tensor, by name (`loss`, `exact_error.rms`). */
  *pieces(
    memory: WebAssembly.Memory,
    placement: Placement,
    rest: Record<string, unknown>,
  ): Generator<Uint8Array | Encoding> {
    const tensors = new Map(this.#outputs.map((output, index) => [output, this.#encodings[index]]))
    if (this.#style.format === 'safetensors') {
      yield this.#header(rest)
      for (const [output, encoding] of tensors) {
        const { offset } = placement.buffers[encoding?.into ?? output.buffer]
        yield new Uint8Array(memory.buffer, offset, this.#size(output))
      }
      return
    }
    for (const piece of jsonPieces(answerTree(this.#outputs, rest, this.#style), this.#style)) {
      yield piece instanceof Uint8Array ? piece : (tensors.get(piece) as Encoding)
    }
  }

  /** All of the answer's bytes in order, written now where they are not yet. Each view is valid until the next one. */
  async *stream(
    memory: WebAssembly.Memory,
    placement: Placement,
    rest: Record<string, unknown>,
    run: RunStep,
  ): AsyncGenerator<Uint8Array> {
    for (const piece of this.pieces(memory, placement, rest)) {
      if (isEncoding(piece)) yield* this.text(memory, placement, piece, run)
      else yield piece
    }
  }

  /** The text of one tensor, already written or written now, window by window. The views are valid until the next one. */
  async *text(
    memory: WebAssembly.Memory,
    placement: Placement,
    encoding: Encoding,
    run: RunStep,
  ): AsyncGenerator<Uint8Array> {
    const window = this.whole ? encoding.units : WINDOW_UNITS
    for (let from = 0; from < encoding.units; from += window) {
      const to = Math.min(from + window, encoding.units)
      if (!this.whole) await run(encodeStep(encoding, from, to))
      yield* this.written(memory, placement, encoding, to - from)
    }
  }

  /** The text that stands in the first `slots` slots. */
  *written(
    memory: WebAssembly.Memory,
    placement: Placement,
    encoding: Encoding,
    slots = encoding.units,
  ): Generator<Uint8Array> {
    const text = placement.buffers[encoding.into].offset
    const lengths = new Int32Array(memory.buffer, placement.buffers[encoding.lengths].offset, slots)
    for (let slot = 0; slot < slots; slot++) {
      yield new Uint8Array(memory.buffer, text + slot * encoding.slotBytes, lengths[slot])
    }
  }

  #header(rest: Record<string, unknown>): Uint8Array {
    const { dtype: usual, rest: key = 'response' } = this.#style
    const entries = this.#outputs.map(({ name, shape, dtype }) => ({ name, dtype: dtype ?? usual, shape }))
    return safetensorsHeader(entries, { [key]: JSON.stringify(answerTree([], rest, this.#style)) })
  }

  #size({ shape, dtype }: OutputTensor): number {
    return product(shape) * WRITTEN_BYTES[dtype ?? this.#style.dtype]
  }
}

export function isEncoding(piece: Uint8Array | Encoding): piece is Encoding {
  return !(piece instanceof Uint8Array)
}

function plan(output: OutputTensor, style: AnswerStyle, type: BufferType) {
  const count = product(output.shape)
  const dtype = output.dtype ?? style.dtype
  if (style.format === 'safetensors' && dtype === type)
    return { output, args: undefined, units: 0, slotBytes: 0 }
  const form = style.format === 'safetensors' ? 'raw' : style.encoding === 'base64' ? 'base64' : 'json'
  const shape = style.encoding === 'flat' && form === 'json' ? [count] : output.shape
  const args: EncodeArgs = { form, dtype, shape, count, firstUnit: 0 }
  return { output, args, units: encodeUnits(args), slotBytes: encodeSlotBytes(args) }
}

function encodeStep({ output, args, slotBytes, into, lengths }: Encoding, from: number, to: number): Step {
  return {
    op: 'encodeTensor',
    // it writes whatever stands in the buffer
    precision: 'float64',
    tensors: { values: output.buffer, into, lengths },
    args: { ...args, firstUnit: from },
    phase: 'encode',
    units: to - from,
    chain: 1,
    flops: 0,
    bytes: (slotBytes * (to - from)) / (args.form === 'raw' ? 8 : 1),
  }
}
