/** Writes the words of a WebAssembly call: what `Call` of the op's family reads. */
import { type AnyTensors, areaBytes, type Op } from '../ops/define-op.ts'
import { type CallWord, callLayout, type WordType } from './call-layout.ts'

type AnyArgs = Readonly<Record<string, unknown>>

/** `scratch`: the byte offset of the task's scratch memory, where the call begins. */
export type WriteCall = (t: AnyTensors, a: AnyArgs, scratch: number) => void

/** Everything that can be known beforehand is worked out here, once an op. */
export function callWriter(memory: WebAssembly.Memory, op: Op): WriteCall {
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
