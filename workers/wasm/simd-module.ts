/**
 * The float32 kernels: AssemblyScript compiled to WebAssembly, working in place on the shared memory.
 *
 * An instance holds nothing: every call brings its own scratch memory, so any number of workers may share the tensors.
 */
import { readFileSync } from 'node:fs'
import { type AnyTensors, type Args, areaBytes, type Op, type Tensors } from '../ops/define-op.ts'
import { type CallWord, callLayout, type WordType } from './call-layout.ts'
import { moduleFile, type SimdVariant } from './variants.ts'

/** A kernel as a task calls it; `scratch` is the byte offset of a work area that is the task's alone. */
export type Run<O extends Op> = (t: Tensors<O>, a: Args<O>, from: number, to: number, scratch: number) => void

export type WasmFunction = (...args: number[]) => void

export class SimdModule {
  readonly memory: WebAssembly.Memory
  readonly #exports: Record<string, unknown>

  /** Reads the variant's module (built by `scripts/build-kernels.ts`) and binds it to the memory that holds the tensors. */
  constructor(memory: WebAssembly.Memory, variant: SimdVariant) {
    const module = new WebAssembly.Module(readFileSync(moduleFile(variant)))
    this.memory = memory
    this.#exports = new WebAssembly.Instance(module, { env: { memory } }).exports
  }

  /** The kernel of an op of `ops/index.ts`. */
  kernel<O extends Op>(op: O): Run<O> {
    const { pieces } = op
    if (pieces !== undefined) {
      const runPiece = this.kernel(pieces.op)
      return (t, a, from, to, scratch) => {
        for (const piece of pieces.cut(t, a, from, to)) {
          runPiece(piece.tensors, piece.args, piece.from, piece.to, scratch)
        }
      }
    }
    const run = this.export(op.name)
    const write = callWriter(this.memory, op)
    return (t, a, from, to, scratch) => {
      write(t, a, scratch)
      run(scratch, from, to)
    }
  }

  export(name: string): WasmFunction {
    const value = this.#exports[name]
    if (!isFunction(value)) throw new Error(`the module has no kernel ${name}`)
    return value
  }
}

function isFunction(value: unknown): value is WasmFunction {
  return typeof value === 'function'
}

type AnyArgs = Readonly<Record<string, unknown>>

/** Writes the words of a call: what `Call` of the op's family reads. `scratch`: the byte offset of the task's scratch memory, where the call begins. */
type WriteCall = (t: AnyTensors, a: AnyArgs, scratch: number) => void

/** Everything that can be known beforehand is worked out here, once an op. */
function callWriter(memory: WebAssembly.Memory, op: Op): WriteCall {
  const layout = callLayout(op.family)
  const tensors = layout.tensors.map(({ name, at }) => ({ name, word: at / 4 }))
  const sources = layout.numbers.map(word => ({ ...word, source: sourceOf(op, word) }))
  const plain = sources.flatMap(({ name, type, at, source }) =>
    source === 'argument' ? [{ name, type, at }] : [],
  )
  const derived = sources.flatMap(({ type, at, source }) => {
    return typeof source === 'function' ? [{ type, at, value: source }] : []
  })
  const absent = sources.flatMap(({ at, source }) => (source === undefined ? [at / 4] : []))
  const areas = Object.entries(op.areas ?? {}).map(([name, bytes]) => {
    return { word: (layout.areas.find(word => word.name === name) as CallWord).at / 4, bytes }
  })
  // a step's calls follow one another with the same arguments, and its areas are always laid out in the same way
  let latest: AnyArgs | undefined
  const starts = areas.map(() => 0)
  const layOut = (a: AnyArgs) => {
    let start = op.family.callBytes
    for (const [index, { bytes }] of areas.entries()) {
      starts[index] = start
      start += areaBytes(bytes(a))
    }
    latest = a
  }
  let words = new Uint32Array(memory.buffer)
  let floats = new Float32Array(memory.buffer)
  let doubles = new Float64Array(memory.buffer)
  const put = (type: WordType, place: number, value: number) => {
    if (type === 'f32') floats[place / 4] = value
    else if (type === 'f64') doubles[place / 8] = value
    else words[place / 4] = value
  }
  return (t, a, scratch) => {
    // memory that has grown has a new buffer
    if (words.buffer !== memory.buffer) {
      words = new Uint32Array(memory.buffer)
      floats = new Float32Array(memory.buffer)
      doubles = new Float64Array(memory.buffer)
    }
    const first = scratch / 4
    for (const { name, word } of tensors) words[first + word] = t[name]?.byteOffset ?? 0
    for (const { name, type, at } of plain) put(type, scratch + at, Number(a[name] ?? 0))
    for (const { type, at, value } of derived) put(type, scratch + at, value(a, t))
    for (const word of absent) words[first + word] = 0
    if (a !== latest) layOut(a)
    for (let index = 0; index < areas.length; index++)
      words[first + areas[index].word] = scratch + starts[index]
  }
}

/** Where a word of the family's call comes from in a call of this op; undefined where it has no such argument. */
function sourceOf(
  op: Op,
  { name }: CallWord,
): 'argument' | undefined | ((a: AnyArgs, t: AnyTensors) => number) {
  const derived = op.words?.[name]
  if (derived !== undefined) return (a, t) => derived.of(a, t)
  const spec = op.args[name]
  if (spec === undefined || typeof spec === 'string') return spec && 'argument'
  if (!('oneOf' in spec)) throw new Error(`${op.name}: ${name} has no word`)
  const choices = new Map<unknown, number>(spec.oneOf.map((choice, number) => [choice, number]))
  return a => choices.get(a[name]) ?? 0
}
