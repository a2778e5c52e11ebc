/** A program that has run → the bytes of its answer: what stands around the tensors, and their text in its place. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Step } from '../../workers/contract.ts'
import { canonicaliseFew } from '../../workers/text/encode.ts'
import type { Engine, Lease } from '../engine/engine.ts'
import { MEDIA_TYPES, tensorPath } from '../formats/body.ts'
import { safetensorsHeader } from '../formats/safetensors.ts'
import type { OutputTensor, Report } from '../layers/outputs.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { singleStep } from '../program.ts'
import type { Timings } from './receipt.ts'
import {
  brackets,
  type Encoding,
  encodeStep,
  leavesAsBytes,
  type Reply,
  type ReplyStyle,
  WINDOW_UNITS,
  writtenBytes,
} from './reply.ts'

/** What stands around more tensors than these takes milliseconds. */
const MANY_OUTPUTS = 500

/** What an answer says beside its tensors, by name (`loss`, `exact_error.rms`). */
export type Fields = Record<string, unknown>

/** Where a program has run, and what writing its answer is part of. */
export interface Written {
  engine: Engine
  program: RequestProgram
  lease: Lease
  timings: Timings
  /** fires when nothing can be written any more */
  closed: AbortSignal
}

/** An answer that is ready to be written. Its bytes stand in the program's memory, which must not be free before the last. */
export class ReadyReply {
  readonly #reply: Reply
  readonly #of: Written
  readonly #report: Report | undefined
  /** of a safetensors file, once its length has been asked for */
  #header: Uint8Array | undefined

  /** `report`: what a frame says beside its tensors. */
  constructor(reply: Reply, of: Written, report?: Report) {
    this.#reply = reply
    this.#of = of
    this.#report = report
  }

  /** It is small, and has been written by the program. */
  get inline(): boolean {
    return this.#reply.inline
  }

  get mediaType(): string {
    return MEDIA_TYPES[this.#reply.style.format]
  }

  get binary(): boolean {
    return this.#reply.style.format === 'safetensors'
  }

  /** Facts, the loss and other single numbers, rounded to the answer's precision; what JSON cannot hold is a string. */
  scalars(): Fields {
    const { engine, program, lease } = this.#of
    const fields: Fields = { ...program.facts }
    for (const { name, buffer, index } of program.scalars) {
      const { offset, length } = lease.placement.buffers[buffer]
      const value = new Float64Array(engine.arena.memory.buffer, offset, length)[index]
      const rounded = program.precision === 'float32' ? Math.fround(value) : value
      if (!Number.isFinite(rounded)) fields[name] = String(rounded)
      else fields[name] = program.precision === 'float32' ? shortest(rounded) : rounded
    }
    return Object.assign(fields, this.#told(program.report))
  }

  /** What a frame says beside its tensors. */
  frameFields(): Fields {
    return this.#told(this.#report) ?? {}
  }

  #told(report: Report | undefined): Fields | undefined {
    const { buffer } = this.#of.engine.arena.memory
    const { buffers } = this.#of.lease.placement
    return report?.(ref => new Float64Array(buffer, buffers[ref].offset, buffers[ref].length))
  }

  /** The answer's length in bytes where it is known before it is written. */
  length(fields: Fields): number | undefined {
    const { style, outputs } = this.#reply
    const before = style.format === 'safetensors' ? this.#headerOf(fields).length : this.textLength(fields)
    if (before === undefined) return undefined
    return outputs.reduce((sum, output) => sum + writtenBytes(output, style), before)
  }

  /** Of JSON that bytes of tensors follow: the text's length in bytes. */
  textLength(fields: Fields): number | undefined {
    const { style, outputs } = this.#reply
    if (!style.layout || !outputs.some(output => writtenBytes(output, style) > 0)) return undefined
    const pieces = jsonPieces(treeOf(this.#reply, fields), style)
    return pieces.reduce((sum, piece) => sum + lengthOf(piece, this.#of), 0)
  }

  #headerOf(fields: Fields): Uint8Array {
    const { style, outputs } = this.#reply
    this.#header ??= fileHeader(outputs, fields, style)
    return this.#header
  }

  /** An inline answer in one piece, apart from the program's memory. */
  copy(fields: Fields): Buffer {
    const started = performance.now()
    const parts: Uint8Array[] = []
    for (const piece of this.#pieces(fields)) {
      if (piece instanceof Uint8Array) parts.push(piece)
      else if (piece !== undefined) parts.push(...this.#slots(piece, piece.units))
    }
    const whole = Buffer.concat(parts)
    this.#of.timings.encode += performance.now() - started
    return whole
  }

  /**
   * All of its bytes in order, written now where they are not yet. Each view is valid until the next one is asked for; with
   * `copied`, pieces that are written over by later ones are copies.
   */
  async *stream(fields: Fields, copied = false): AsyncGenerator<Uint8Array> {
    for (const piece of this.#pieces(fields)) {
      if (piece === undefined) {
        await nextTurn()
        continue
      }
      if (piece instanceof Uint8Array) {
        yield piece
        continue
      }
      const { whole } = this.#reply
      const window = whole ? piece.units : WINDOW_UNITS
      for (let from = 0; from < piece.units; from += window) {
        const to = Math.min(from + window, piece.units)
        if (!whole) await this.#write(encodeStep(piece, from, to))
        for (const slot of this.#slots(piece, to - from)) yield copied ? Buffer.from(slot) : slot
      }
    }
  }

  /** An answer that has begun must be ended: a worker that dies under it is made up for, once. */
  async #write(step: Step): Promise<void> {
    const { engine, program, lease, timings, closed } = this.#of
    const single = { program: singleStep(program, step), placement: lease.placement, group: lease.group }
    const report = await engine.run(single, closed).catch(error => {
      if (closed.aborted) throw error
      return engine.run(single, closed)
    })
    timings.add({ spans: report.spans })
  }

  /** The pieces in order: bytes, and tensors whose text is to be written; undefined where the event loop may go on. */
  *#pieces(fields: Fields): Generator<Uint8Array | Encoding | undefined> {
    const { style, outputs, encodings } = this.#reply
    const many = outputs.length > MANY_OUTPUTS
    if (style.format === 'json') {
      const tree = treeOf(this.#reply, fields)
      if (many) yield undefined
      const pieces = jsonPieces(tree, style)
      if (many) yield undefined
      yield* pieces
    } else yield this.#headerOf(fields)
    if (many) yield undefined
    const { engine, lease } = this.#of
    for (const [index, output] of outputs.entries()) {
      if (!leavesAsBytes(output, style)) continue
      const encoding = encodings[index]
      const { offset, length, type } = lease.placement.buffers[encoding?.into ?? output.buffer]
      const { buffer } = engine.arena.memory
      if (this.inline && encoding === undefined) {
        if (type === 'float32') canonicaliseFew(new Float32Array(buffer, offset, length))
        if (type === 'float64') canonicaliseFew(new Float64Array(buffer, offset, length))
      }
      yield new Uint8Array(buffer, offset, writtenBytes(output, style))
    }
  }

  /** The text that stands in the first `slots` slots. */
  *#slots(encoding: Encoding, slots: number): Generator<Uint8Array> {
    const { buffer } = this.#of.engine.arena.memory
    const { buffers } = this.#of.lease.placement
    const text = buffers[encoding.into].offset
    const lengths = new Int32Array(buffer, buffers[encoding.lengths].offset, slots)
    for (let slot = 0; slot < slots; slot++) {
      yield new Uint8Array(buffer, text + slot * encoding.slotBytes, lengths[slot])
    }
  }
}

function lengthOf(piece: Uint8Array | Encoding, { engine, lease }: Written): number {
  if (piece instanceof Uint8Array) return piece.length
  const { offset, length } = lease.placement.buffers[piece.lengths]
  return new Int32Array(engine.arena.memory.buffer, offset, length).reduce((sum, each) => sum + each, 0)
}

function fileHeader(outputs: OutputTensor[], fields: Fields, style: ReplyStyle): Uint8Array {
  const entries = outputs.map(({ name, shape, dtype }) => ({ name, dtype: dtype ?? style.dtype, shape }))
  const tree = treeOf({ style, outputs: [], encodings: [] }, fields)
  return safetensorsHeader(entries, { [style.fields]: JSON.stringify(tree) })
}

type Tree = { [key: string]: unknown }

/** A tensor in its place in the tree. */
class Place {
  readonly output: OutputTensor
  readonly encoding: Encoding | undefined

  constructor(output: OutputTensor, encoding: Encoding | undefined) {
    this.output = output
    this.encoding = encoding
  }
}

/**
 * `grads.q` stands below `grads`; `layers.0.weights` in the first of an array. Messages of a stream begin with what is no
 * tensor: their type.
 */
function treeOf(
  { outputs, encodings, style }: Pick<Reply, 'outputs' | 'encodings' | 'style'>,
  fields: Fields,
): object {
  const place = (index: number) => new Place(outputs[index], encodings[index])
  if (style.layout !== undefined) return style.layout.tree(outputs, place, fields)
  const tree: Tree = {}
  const names = outputs.map(({ name }) => name)
  const fieldNames = Object.keys(fields)
  const paths = names.concat(fieldNames).map(tensorPath)
  const addFields = () => {
    for (const [index, name] of fieldNames.entries()) put(tree, paths[names.length + index], fields[name])
  }
  const addOutputs = (deep: boolean) => {
    for (const index of outputs.keys()) {
      if (paths[index].length > 1 === deep) put(tree, paths[index], place(index))
    }
  }
  if (style.fields === 'frame') addFields()
  addOutputs(false)
  if (style.fields !== 'frame') addFields()
  addOutputs(true)
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

/** JSON text around the tensors, and the tensors in their places. */
function jsonPieces(tree: unknown, style: ReplyStyle): (Uint8Array | Encoding)[] {
  const pieces: (Uint8Array | Encoding)[] = []
  let text = ''
  const write = (value: unknown): void => {
    if (value instanceof Place) {
      const [open, close] = brackets(value.output, style)
      pieces.push(Buffer.from(text + open), value.encoding as Encoding)
      text = close
      return
    }
    if (typeof value !== 'object' || value === null) {
      text += JSON.stringify(value)
      return
    }
    const list = Array.isArray(value)
    let separator = ''
    text += list ? '[' : '{'
    for (const [key, member] of Object.entries(value)) {
      text += list ? separator : `${separator}${JSON.stringify(key)}:`
      write(member)
      separator = ','
    }
    text += list ? ']' : '}'
  }
  write(tree)
  pieces.push(Buffer.from(text))
  return pieces
}

/** The shortest decimal of a float32, as the number that JS prints with these digits. */
export function shortest(x: number): number {
  for (let count = 1; count < 9; count++) {
    const candidate = Number(x.toPrecision(count))
    if (Math.fround(candidate) === x) return candidate
  }
  return Number(x.toPrecision(9))
}
