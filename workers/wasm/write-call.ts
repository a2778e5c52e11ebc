/** Writes the words of a WebAssembly call: what `Call` of the op's family reads. */
import { type AnyTensors, areaBytes, type Op } from '../ops/define-op.ts'
import { type CallWord, callLayout } from './call-layout.ts'

type AnyArgs = Readonly<Record<string, unknown>>

/** `scratch`: the byte offset of the task's scratch memory, where the call begins. */
export type WriteCall = (t: AnyTensors, a: AnyArgs, scratch: number) => void

/** Everything that can be known beforehand is worked out here, once an op. */
export function callWriter(memory: WebAssembly.Memory, op: Op): WriteCall {
  const layout = callLayout(op.family)
  const numbers = layout.numbers.map(word => ({ ...word, value: numberOf(op, word) }))
  const areas = Object.entries(op.areas ?? {}).map(([name, bytes]) => {
    return { at: (layout.areas.find(word => word.name === name) as CallWord).at, bytes }
  })
  let words = new Uint32Array(memory.buffer)
  let floats = new Float32Array(memory.buffer)
  let doubles = new Float64Array(memory.buffer)
  return (t, a, scratch) => {
    // memory that has grown has a new buffer
    if (words.buffer !== memory.buffer) {
      words = new Uint32Array(memory.buffer)
      floats = new Float32Array(memory.buffer)
      doubles = new Float64Array(memory.buffer)
    }
    for (const { name, at } of layout.tensors) words[(scratch + at) / 4] = t[name]?.byteOffset ?? 0
    for (const { type, at, value } of numbers) {
      const place = scratch + at
      if (type === 'f32') floats[place / 4] = value(a, t)
      else if (type === 'f64') doubles[place / 8] = value(a, t)
      else words[place / 4] = value(a, t)
    }
    let area = scratch + op.family.callBytes
    for (const { at, bytes } of areas) {
      words[(scratch + at) / 4] = area
      area += areaBytes(bytes(a))
    }
  }
}

/** How a word of the family's call comes about in a call of this op: 0 where it has no such argument. */
function numberOf(op: Op, { name }: CallWord): (a: AnyArgs, t: AnyTensors) => number {
  const derived = op.words?.[name]
  if (derived !== undefined) return (a, t) => derived.of(a, t)
  const spec = op.args[name]
  if (spec === undefined) return () => 0
  if (typeof spec === 'string') return a => Number(a[name] ?? 0)
  if (!('oneOf' in spec)) throw new Error(`${op.name}: ${name} has no word`)
  const choices = new Map<unknown, number>(spec.oneOf.map((choice, number) => [choice, number]))
  return a => choices.get(a[name]) ?? 0
}
