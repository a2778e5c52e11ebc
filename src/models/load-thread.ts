/**
 * Reads the weights of a model into the shared memory, on a thread of its own: the one that talks to clients never waits for a file.
 * float16 and bfloat16 become float32, which holds them exactly; matrices are turned as the stack wants them.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { giveWay } from '../../workers/give-way.ts'
import { halfFrom } from '../../workers/older-node.ts'
import type { WeightType } from './checkpoint.ts'

export interface LoadPart {
  /** in the shared memory */
  offset: number
  axis: 0 | 1
  from: number
  to: number
  transposed: boolean
}

/** A tensor of a file, and what it becomes. */
export interface LoadTensor {
  name: string
  file: string
  start: number
  dtype: WeightType
  /** [rows, columns] */
  rows: number
  columns: number
  parts: LoadPart[]
}

export interface LoadWork {
  memory: WebAssembly.Memory
  tensors: LoadTensor[]
}

/** Bytes of memory that have been filled so far, or what is wrong with a file. */
export type LoadMessage = { done: number } | { fault: string }

/** Bytes of a file that are read at once. */
const CHUNK = 4 << 20

const { memory, tensors } = workerData as LoadWork
const port = parentPort as NonNullable<typeof parentPort>

giveWay()
try {
  load()
} catch (error) {
  port.postMessage({ fault: (error as Error).message } satisfies LoadMessage)
}

function load(): void {
  let done = 0
  const files = new Map<string, number>()
  try {
    for (const tensor of tensors) {
      const file = files.get(tensor.file) ?? openSync(tensor.file, 'r')
      files.set(tensor.file, file)
      for (const bytes of loadTensor(tensor, file)) {
        done += bytes
        port.postMessage({ done } satisfies LoadMessage)
      }
    }
  } finally {
    for (const file of files.values()) closeSync(file)
  }
}

/** Gives the bytes of memory that each of its pieces has filled. */
function* loadTensor(tensor: LoadTensor, file: number): Generator<number> {
  const { name, start, dtype, rows, columns, parts } = tensor
  const element = dtype === 'F32' ? 4 : 2
  const rowsAtOnce = Math.max(1, Math.floor(CHUNK / Math.max(1, columns * element)))
  const buffer = new ArrayBuffer(Math.min(rows, rowsAtOnce) * columns * element)
  for (let first = 0; first < rows; first += rowsAtOnce) {
    const count = Math.min(rowsAtOnce, rows - first)
    const bytes = new Uint8Array(buffer, 0, count * columns * element)
    readAll(file, bytes, start + first * columns * element, name)
    const values = valuesOf(buffer, count * columns, dtype)
    const wrong = values.findIndex(value => !Number.isFinite(value))
    if (wrong >= 0) throw new Error(`${name}: expected finite numbers, got ${values[wrong]}`)
    for (const part of parts) place(values, first, count, tensor, part)
    yield 4 * count * columns
  }
}

function readAll(file: number, bytes: Uint8Array, from: number, name: string): void {
  for (let at = 0; at < bytes.length; ) {
    const count = readSync(file, bytes, at, bytes.length - at, from + at)
    if (count === 0) throw new Error(`${name}: the file ends before the tensor does`)
    at += count
  }
}

function valuesOf(buffer: ArrayBuffer, count: number, dtype: WeightType): Float32Array {
  if (dtype === 'F32') return new Float32Array(buffer, 0, count)
  if (dtype === 'F16') return fromHalves(buffer, count)
  // a bfloat16 is the upper half of a float32
  const halves = new Uint16Array(buffer, 0, count)
  const words = new Uint32Array(count)
  for (let at = 0; at < count; at++) words[at] = halves[at] << 16
  return new Float32Array(words.buffer)
}

/** Rows from `first` on, put where one part of the tensor has them. */
function place(
  values: Float32Array,
  first: number,
  count: number,
  { columns }: LoadTensor,
  { offset, axis, from, to, transposed }: LoadPart,
): void {
  const begin = axis === 0 ? Math.max(first, from) : first
  const end = axis === 0 ? Math.min(first + count, to) : first + count
  const [left, right] = axis === 0 ? [0, columns] : [from, to]
  const top = axis === 0 ? from : 0
  const width = right - left
  const into = new Float32Array(memory.buffer, offset)
  if (!transposed) {
    for (let row = begin; row < end; row++) {
      const at = (row - first) * columns
      into.set(values.subarray(at + left, at + right), (row - top) * width)
    }
    return
  }
  const height = to - from
  for (let column = left; column < right; column++) {
    const at = (column - left) * height - top
    for (let row = begin; row < end; row++) into[at + row] = values[(row - first) * columns + column]
  }
}

function fromHalves(buffer: ArrayBuffer, count: number): Float32Array {
  if (!('Float16Array' in globalThis)) return Float32Array.from(new Uint16Array(buffer, 0, count), halfFrom)
  return Float32Array.from(new Float16Array(buffer, 0, count))
}
