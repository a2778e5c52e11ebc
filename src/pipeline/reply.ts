/**
 * What writing an answer takes, as part of the program: buffers, and the steps that write a small one. Small answers are
 * written by the program's own last steps (`inline`). Large ones are written window by window while they leave, or leave
 * as the kernels wrote them.
 */
import type { Step } from '../../workers/contract.ts'
import { type BufferType, type EncodeArgs, type Ref, WRITTEN_BYTES } from '../../workers/task.ts'
import { encodeSlotBytes, encodeUnits } from '../../workers/text/encode.ts'
import type { BodyFormat } from '../formats/body.ts'
import { product } from '../formats/tensor.ts'
import type { OutputTensor, RequestProgram } from '../layers/program-builder.ts'
import { Problem } from '../problem.ts'

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
export function emitReply(p: RequestProgram, style: ReplyStyle): Replies {
  const frames = p.barriers.length === 0 ? [] : emitFrames(p, style)
  const { reply, buffers } = emit(p, p.outputs, style)
  for (const buffer of buffers) p.keep(buffer)
  return { reply, frames }
}

function emitFrames(p: RequestProgram, style: ReplyStyle): Replies['frames'] {
  const stages = p.stages.splice(0)
  let next = 0
  const frames = p.barriers.map(frame => {
    while (next <= frame.stage) p.stages.push(stages[next++])
    const { reply, buffers } = frame.outputs.length === 0 ? {} : emit(p, frame.outputs, style)
    if (buffers !== undefined) frame.buffers = buffers
    frame.stage = p.stages.length - 1
    return reply
  })
  while (next < stages.length) p.stages.push(stages[next++])
  return frames
}

/** `buffers`: what must stay in its place until the answer has been written. */
function emit(
  p: RequestProgram,
  outputs: OutputTensor[],
  style: ReplyStyle,
): { reply: Reply; buffers: Ref[] } {
  const planned = outputs.map(output => planOutput(output, style, p.buffers[output.buffer].type))
  let bytes = 0
  for (const { output, args, units, slotBytes } of planned) {
    if (product(output.shape) === 0 && slotBytes > MOST_BRACKETS) {
      throw new Problem(
        'MEMORY_TOO_LARGE',
        `expected fewer empty arrays, got ${output.name} of shape [${output.shape.join(', ')}]`,
      )
    }
    bytes += args === undefined ? writtenBytes(output, style) : units * slotBytes
  }
  const inline = bytes <= INLINE_BYTES
  const buffers: Ref[] = []
  const steps: Step[] = []
  const encodings = planned.map(({ output, args, units, slotBytes }) => {
    buffers.push(output.buffer)
    if (args === undefined) return undefined
    // raw bytes of another type are written by the program in any case: they are no larger than the tensors
    const whole = inline || args.form === 'raw'
    const slots = whole ? units : Math.min(units, WINDOW_UNITS)
    const into = p.buffer({ type: 'uint8', length: slots * slotBytes })
    const lengths = p.buffer({ type: 'int32', length: slots })
    buffers.push(into, lengths)
    const encoding = { output, args, units, slotBytes, into, lengths }
    if (whole) steps.push(encodeStep(encoding, 0, units))
    return encoding
  })
  p.stage(...steps)
  return { reply: { style, outputs, encodings, inline }, buffers }
}

function planOutput(output: OutputTensor, style: ReplyStyle, type: BufferType) {
  const count = product(output.shape)
  const dtype = output.dtype ?? style.dtype
  if (style.format === 'safetensors' && dtype === type) {
    return { output, args: undefined, units: 0, slotBytes: 0 }
  }
  const form = style.format === 'safetensors' ? 'raw' : style.encoding === 'base64' ? 'base64' : 'json'
  const shape = style.encoding === 'flat' && form === 'json' ? [count] : output.shape
  const args: EncodeArgs = { form, dtype, shape, count, firstUnit: 0 }
  return { output, args, units: encodeUnits(args), slotBytes: encodeSlotBytes(args) }
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
