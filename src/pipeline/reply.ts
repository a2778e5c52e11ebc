/**
 * What writing an answer takes, as part of the program: buffers, and the steps that write a small one. Small answers are
 * written by the program's own last steps (`inline`). Large ones are written window by window while they leave, or leave
 * as the kernels wrote them.
 */
import { type Ref, type Step, WRITTEN_BYTES } from '../../workers/contract.ts'
import type { EncodeArgs } from '../../workers/ops/text/op.ts'
import { encodeSlotBytes, encodeUnits } from '../../workers/text/encode.ts'
import type { BodyFormat } from '../formats/body.ts'
import { product } from '../formats/tensor.ts'
import type { OutputTensor, RequestProgram } from '../layers/program-builder.ts'
import { Problem } from '../problem.ts'
import type { BufferSpec } from '../program.ts'

/** An answer of at most this many bytes is inline. */
const INLINE_BYTES = 512 * 1024
/** Bytes of brackets that a nested tensor without elements may have. */
const MOST_BRACKETS = 1 << 20
/** Units of text written at once for a larger one. */
export const WINDOW_UNITS = 4

export interface ReplyStyle {
  format: BodyFormat
  /** of tensors in JSON */
  encoding: 'nested' | 'flat' | 'base64'
  /** of tensors that name no type themselves */
  dtype: EncodeArgs['dtype']
  /** what the fields beside the tensors are called in safetensors' metadata; `frame`: a message of a stream */
  fields: 'response' | 'frame'
}

/** What every request says about the form of its answer. */
export interface Numerics {
  precision: 'float32' | 'float64'
  encoding: ReplyStyle['encoding']
  output_dtype?: ReplyStyle['dtype'] | undefined
}

export function replyStyle({ precision, encoding, output_dtype }: Numerics, format: BodyFormat): ReplyStyle {
  return { format, encoding, dtype: output_dtype ?? precision, fields: 'response' }
}

/** An output that is written as text, or as bytes of another type than its buffer's. */
export interface Encoding {
  output: OutputTensor
  args: EncodeArgs
  units: number
  slotBytes: number
  into: Ref
  lengths: Ref
}

export interface Reply {
  style: ReplyStyle
  outputs: OutputTensor[]
  /** of each output; undefined where it leaves as it stands */
  encodings: (Encoding | undefined)[]
  /** the whole answer is written by the program itself */
  inline: boolean
}

/** The answer of a program, and of each of its barriers where something leaves there. */
export interface Replies {
  reply: Reply
  frames: (Reply | undefined)[]
}

/** Adds to a program what writing its answer takes, and what its frames take behind the steps that they stand behind. */
export function* emitReply(p: RequestProgram, style: ReplyStyle): Generator<void, Replies> {
  const frames = p.barriers.length === 0 ? [] : yield* emitFrames(p, style)
  const { reply, buffers } = yield* emit(p, p.outputs, style)
  for (const buffer of buffers) p.keep(buffer)
  return { reply, frames }
}

function* emitFrames(p: RequestProgram, style: ReplyStyle): Generator<void, Replies['frames']> {
  const stages = p.stages.splice(0)
  let next = 0
  const frames: Replies['frames'] = []
  for (const frame of p.barriers) {
    while (next <= frame.stage) p.stages.push(stages[next++])
    const { reply, buffers } = frame.outputs.length === 0 ? {} : yield* emit(p, frame.outputs, style)
    if (buffers !== undefined) frame.buffers = buffers
    frame.stage = p.stages.length - 1
    frames.push(reply)
  }
  while (next < stages.length) p.stages.push(stages[next++])
  return frames
}

/** `buffers`: what must stay in its place until the answer has been written. It pauses between what it does to all outputs. */
function* emit(
  p: RequestProgram,
  outputs: OutputTensor[],
  style: ReplyStyle,
): Generator<void, { reply: Reply; buffers: Ref[] }> {
  const args = outputs.map(output => argsOf(output, style))
  yield
  const units = args.map(encodeUnits)
  const slotBytes = args.map(encodeSlotBytes)
  yield
  const asItStands = ({ buffer }: OutputTensor, { dtype }: EncodeArgs) =>
    style.format === 'safetensors' && dtype === p.buffers[buffer].type
  let bytes = 0
  for (const [index, output] of outputs.entries()) {
    const { count, dtype } = args[index]
    if (count === 0 && slotBytes[index] > MOST_BRACKETS) {
      throw new Problem(
        'MEMORY_TOO_LARGE',
        `expected fewer empty arrays, got ${output.name} of shape [${output.shape.join(', ')}]`,
      )
    }
    const direct = asItStands(output, args[index])
    bytes += direct ? count * WRITTEN_BYTES[dtype] : units[index] * slotBytes[index]
  }
  const inline = bytes <= INLINE_BYTES
  // raw bytes of another type are written by the program in any case: they are no larger than the tensors
  const whole = inline || style.format === 'safetensors'
  const encoded = outputs.flatMap((output, index) => (asItStands(output, args[index]) ? [] : [index]))
  const slots = encoded.map(index => (whole ? units[index] : Math.min(units[index], WINDOW_UNITS)))
  const specs = encoded.flatMap((index, at): BufferSpec[] => [
    { type: 'uint8', length: slots[at] * slotBytes[index] },
    { type: 'int32', length: slots[at] },
  ])
  const first = p.buffers.length
  p.buffers.push(...specs)
  const refs = specs.map((_, at) => first + at)
  yield
  const encodings: Reply['encodings'] = outputs.map(() => undefined)
  for (const [at, index] of encoded.entries()) {
    const [into, lengths] = [refs[2 * at], refs[2 * at + 1]]
    const parts = { output: outputs[index], args: args[index], units: units[index], into, lengths }
    encodings[index] = { ...parts, slotBytes: slotBytes[index] }
  }
  const buffers = outputs.map(({ buffer }) => buffer).concat(refs)
  yield
  const written = encodings.filter(encoding => encoding !== undefined)
  if (whole) p.stage(...written.map(encoding => encodeStep(encoding, 0, encoding.units)))
  return { reply: { style, outputs, encodings, inline }, buffers }
}

function argsOf({ shape, dtype }: OutputTensor, style: ReplyStyle): EncodeArgs {
  let count = 1
  for (const extent of shape) count *= extent
  const form = style.format === 'safetensors' ? 'raw' : style.encoding === 'base64' ? 'base64' : 'json'
  const written = style.encoding === 'flat' && form === 'json' ? [count] : shape
  return { form, dtype: dtype ?? style.dtype, shape: written, count, firstUnit: 0 }
}

/** Bytes of an output's elements on the wire. */
export function writtenBytes({ shape, dtype }: OutputTensor, style: ReplyStyle): number {
  return product(shape) * WRITTEN_BYTES[dtype ?? style.dtype]
}

/** Writes units [from, to) into the first slots. */
export function encodeStep(
  { output, args, slotBytes, into, lengths }: Encoding,
  from: number,
  to: number,
): Step {
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
