/**
 * A program's outputs → an answer in JSON or safetensors.
 *
 * Small answers are written by the program's own last steps and sent in one piece. Large ones leave while they are
 * written: JSON text window by window, safetensors straight from the memory the kernels wrote.
 */
import { encodeSlotBytes, encodeUnits } from '../../workers/elements/encode.ts'
import type { Step } from '../../workers/program.ts'
import { type BufferType, ELEMENT_BYTES, type EncodeArgs, type Ref } from '../../workers/task.ts'
import { type BodyFormat, MEDIA_TYPES, tensorPath } from '../codecs/body.ts'
import { safetensorsHeader } from '../codecs/safetensors.ts'
import type { Placement } from '../compute/job.ts'
import { Problem } from '../errors.ts'
import type { OutputTensor, RequestProgram } from '../programs/request-program.ts'
import { product } from '../tensors/tensor-source.ts'

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
  dtype: EncodeArgs['dtype']
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
  readonly #program: RequestProgram
  readonly #encodings: (Encoding | undefined)[]
  /** the whole answer is written by the program itself */
  readonly whole: boolean

  /** Adds to the program what writing its outputs takes: buffers, and for small answers the steps. */
  constructor(program: RequestProgram, style: AnswerStyle) {
    this.#program = program
    this.#style = style
    const planned = program.outputs.map(output => plan(output, style, program.buffers[output.buffer].type))
    for (const { output, slotBytes } of planned) {
      if (product(output.shape) > 0 || slotBytes <= MOST_BRACKETS) continue
      throw new Problem(
        'MEMORY_TOO_LARGE',
        `expected fewer empty arrays, got ${output.name} of shape [${output.shape.join(', ')}]`,
      )
    }
    const bytes = planned.reduce((sum, { output, args, units, slotBytes }) => {
      return sum + (args === undefined ? this.#size(output.shape) : units * slotBytes)
    }, 0)
    this.whole = bytes <= WHOLE_BYTES
    this.#encodings = planned.map(({ output, args, units, slotBytes }) => {
      if (args === undefined) return undefined
      const slots = this.whole || args.form === 'raw' ? units : Math.min(units, WINDOW_UNITS)
      const into = program.buffer({ type: 'uint8', length: slots * slotBytes, keep: true })
      const lengths = program.buffer({ type: 'int32', length: slots, keep: true })
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
    return (
      this.#header(rest).length + this.#program.outputs.reduce((sum, { shape }) => sum + this.#size(shape), 0)
    )
  }

  /** The pieces of the answer in order: bytes, and tensors whose text is to be written. `rest`: what is no tensor, by name (`loss`, `exact_error.rms`). */
  *pieces(
    memory: WebAssembly.Memory,
    placement: Placement,
    rest: Record<string, unknown>,
  ): Generator<Uint8Array | Encoding> {
    const tensors = new Map(this.#program.outputs.map((output, index) => [output, this.#encodings[index]]))
    if (this.#style.format === 'safetensors') {
      yield this.#header(rest)
      for (const [output, encoding] of tensors) {
        const { offset } = placement.buffers[encoding?.into ?? output.buffer]
        yield new Uint8Array(memory.buffer, offset, this.#size(output.shape))
      }
      return
    }
    yield* jsonPieces(answerTree(this.#program.outputs, rest), output => {
      const encoding = tensors.get(output) as Encoding
      return { encoding, shape: output.shape, style: this.#style }
    })
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
    const entries = this.#program.outputs.map(({ name, shape }) => ({
      name,
      dtype: this.#style.dtype,
      shape,
    }))
    return safetensorsHeader(entries, { response: JSON.stringify(answerTree([], rest)) })
  }

  #size(shape: number[]): number {
    return product(shape) * ELEMENT_BYTES[this.#style.dtype]
  }
}

export function isEncoding(piece: Uint8Array | Encoding): piece is Encoding {
  return !(piece instanceof Uint8Array)
}

function plan(output: OutputTensor, style: AnswerStyle, type: BufferType) {
  const count = product(output.shape)
  if (style.format === 'safetensors' && style.dtype === type)
    return { output, args: undefined, units: 0, slotBytes: 0 }
  const form = style.format === 'safetensors' ? 'raw' : style.encoding === 'base64' ? 'base64' : 'json'
  const shape = style.encoding === 'flat' && form === 'json' ? [count] : output.shape
  const args: EncodeArgs = { form, dtype: style.dtype, shape, count, firstUnit: 0 }
  return { output, args, units: encodeUnits(args), slotBytes: encodeSlotBytes(args) }
}

function encodeStep({ output, args, slotBytes, into, lengths }: Encoding, from: number, to: number): Step {
  return {
    op: 'encodeTensor',
    tensors: { values: output.buffer, into, lengths },
    args: { ...args, firstUnit: from },
    phase: 'encode',
    units: to - from,
    chain: 1,
    flops: 0,
    bytes: (slotBytes * (to - from)) / (args.form === 'raw' ? 8 : 1),
  }
}

type Tree = { [key: string]: Tree | OutputTensor | unknown }

/** `grads.q` stands below `grads`; `layers.0.weights` in the first of an array. */
function answerTree(outputs: OutputTensor[], rest: Record<string, unknown>): Tree {
  const tree: Tree = {}
  for (const output of outputs) if (!output.name.includes('.')) tree[output.name] = output
  for (const [name, value] of Object.entries(rest)) put(tree, tensorPath(name), value)
  for (const output of outputs) if (output.name.includes('.')) put(tree, tensorPath(output.name), output)
  return tree
}

function put(tree: Tree, [head, ...below]: string[], value: unknown): void {
  if (below.length === 0) {
    tree[head] = value
    return
  }
  tree[head] ??= /^\d+$/.test(below[0]) ? [] : {}
  put(tree[head] as Tree, below, value)
}

type Framed = { encoding: Encoding; shape: number[]; style: AnswerStyle }

/** JSON text around the tensors, and the tensors in their places. */
function* jsonPieces(tree: Tree, tensor: (output: OutputTensor) => Framed): Generator<Uint8Array | Encoding> {
  let text = ''
  function* node(value: unknown): Generator<Encoding | string> {
    if (isOutput(value)) {
      const { encoding, shape, style } = tensor(value)
      const [open, close] = frame(shape, style)
      text += open
      yield text
      text = close
      yield encoding
      return
    }
    if (typeof value !== 'object' || value === null) {
      text += JSON.stringify(value)
      return
    }
    const list = Array.isArray(value)
    text += list ? '[' : '{'
    for (const [index, [key, member]] of Object.entries(value).entries()) {
      text += `${index > 0 ? ',' : ''}${list ? '' : `${JSON.stringify(key)}:`}`
      yield* node(member)
    }
    text += list ? ']' : '}'
  }
  for (const piece of node(tree)) yield typeof piece === 'string' ? Buffer.from(piece) : piece
  yield Buffer.from(text)
}

function isOutput(value: unknown): value is OutputTensor {
  return (
    typeof value === 'object' && value !== null && 'buffer' in value && 'shape' in value && 'name' in value
  )
}

function frame(shape: number[], { encoding, dtype }: AnswerStyle): [string, string] {
  if (encoding === 'nested') return ['', '']
  const head = `{"shape":${JSON.stringify(shape)},"dtype":"${dtype}",`
  return encoding === 'flat' ? [`${head}"data":`, '}'] : [`${head}"base64":"`, '"}']
}
