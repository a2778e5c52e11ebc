/**
 * What writing an answer takes, as part of the program: buffers, and the steps that write a small one. Small answers are
 * written by the program's own last steps (`inline`). Large ones are written window by window while they leave, or leave
 * as the kernels wrote them.
 */
import { type Ref, type Step, WRITTEN_BYTES } from '../../workers/contract.ts'
import { canonicaliseNaNs, type EncodeArgs, encodeNanoseconds } from '../../workers/ops/text/op.ts'
import { encodeSlotBytes, encodeUnits } from '../../workers/text/encode.ts'
import type { BodyFormat } from '../formats/body.ts'
import { product } from '../formats/tensor.ts'
import type { OutputTensor } from '../layers/outputs.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
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
  /** of JSON in another form than ours */
  layout?: Layout
}

/** Another protocol's JSON. Tensors stand in it as flat lists, or their bytes follow the text. */
export interface Layout {
  /** does a tensor's bytes follow? */
  binary(name: string): boolean
  /** `place(index)` is what stands for the list of an output's elements. */
  tree(outputs: OutputTensor[], place: (index: number) => unknown, fields: Record<string, unknown>): object
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
  /** that writing all of it takes, as in Cost */
  nanoseconds: number
  into: Ref
  lengths: Ref
}

export interface Reply {
  style: ReplyStyle
  outputs: OutputTensor[]
  /** of each output; undefined where it leaves as it stands */
  encodings: (Encoding | undefined)[]
  /** the whole answer is written by the program itself, and small */
  inline: boolean
  /** nothing of it is left to be written after the program has run */
  whole: boolean
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
  /** where each stage stands now */
  const moved: number[] = []
  const move = (end: number) => {
    while (moved.length < end) moved.push(p.stages.push(stages[moved.length]) - 1)
  }
  const frames: Replies['frames'] = []
  for (const frame of p.barriers) {
    move(frame.stage + 1)
    const leaves = frame.outputs.length > 0 || frame.report !== undefined
    const { reply, buffers } = leaves ? yield* emit(p, frame.outputs, style) : {}
    if (buffers !== undefined) frame.buffers = buffers
    frame.stage = p.stages.length - 1
    frames.push(reply)
  }
  move(stages.length)
  for (const { skip } of p.barriers) if (skip !== undefined) skip.to = moved[skip.to] ?? p.stages.length
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
  const nanoseconds = args.map(encodeNanoseconds)
  yield
  const asItStands = ({ buffer }: OutputTensor, { form, dtype }: EncodeArgs) =>
    form === 'raw' && dtype === p.buffers[buffer].type
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
  // raw bytes of another type are written by the program in any case: they are no larger than the tensors. So is text that
  // they follow, whose length is told before it
  const whole = inline || args.some(({ form }) => form === 'raw')
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
    encodings[index] = { ...parts, slotBytes: slotBytes[index], nanoseconds: nanoseconds[index] }
  }
  const buffers = outputs.map(({ buffer }) => buffer).concat(refs)
  yield
  const written = encodings.filter(encoding => encoding !== undefined)
  const steps: Step[] = written.map(encoding => encodeStep(encoding, 0, encoding.units))
  // what is no inline answer is written after the program has run
  if (!whole) p.later.push(...steps.splice(0))
  // those of an inline answer are looked at where it is copied: a stage of their own would take longer
  const standing = inline ? [] : outputs.filter((_, index) => encodings[index] === undefined)
  const looked = new Map(standing.map(({ buffer, guide }) => [buffer, guide]))
  for (const [values, guide] of looked) {
    const { type, length: count } = p.buffers[values]
    if (type !== 'float32' && type !== 'float64') continue
    const rows = guide === undefined ? 1 : p.buffers[guide].length
    steps.push(p.step(canonicaliseNaNs, { values, guide }, { count, row: count / rows }))
  }
  p.stage(...steps)
  return { reply: { style, outputs, encodings, inline, whole }, buffers }
}

function argsOf(output: OutputTensor, style: ReplyStyle): EncodeArgs {
  const { shape, dtype } = output
  let count = 1
  for (const extent of shape) count *= extent
  const form = leavesAsBytes(output, style) ? 'raw' : style.encoding === 'base64' ? 'base64' : 'json'
  const written = style.encoding === 'flat' && form === 'json' ? [count] : shape
  return { form, dtype: dtype ?? style.dtype, shape: written, count, firstUnit: 0 }
}

/** Or as text? */
export function leavesAsBytes({ name }: OutputTensor, { format, layout }: ReplyStyle): boolean {
  return format === 'safetensors' || layout?.binary(name) === true
}

/** Of an output's elements on the wire; 0 where they leave as text. */
export function writtenBytes(output: OutputTensor, style: ReplyStyle): number {
  const { shape, dtype } = output
  return leavesAsBytes(output, style) ? product(shape) * WRITTEN_BYTES[dtype ?? style.dtype] : 0
}

/** Writes units [from, to) into the first slots. */
export function encodeStep(
  { output, args, units, nanoseconds, into, lengths }: Encoding,
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
    nanoseconds: nanoseconds * ((to - from) / units),
  }
}

/** What stands around a tensor’s text in JSON. */
export function brackets({ shape, dtype }: OutputTensor, style: ReplyStyle): [string, string] {
  const { encoding, dtype: usual, layout } = style
  if (encoding === 'nested' || layout !== undefined) return ['', '']
  const head = `{"shape":${JSON.stringify(shape)},"dtype":"${dtype ?? usual}",`
  return encoding === 'flat' ? [`${head}"data":`, '}'] : [`${head}"base64":"`, '"}']
}
