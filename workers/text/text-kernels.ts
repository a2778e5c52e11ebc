/**
 * The text kernels: AssemblyScript compiled to WebAssembly, which read and write numbers as text in the shared memory.
 * Addresses are bytes of that memory. An instance holds nothing between calls but what the next getter tells.
 */
import { readFileSync } from 'node:fs'
import { writeTables } from './tables.ts'

/** Where `scripts/build-kernels.ts` puts the module. */
export const TEXT_MODULE = new URL('./build/text.wasm', import.meta.url)

/** Meanings stand at the exports of `assembly/index.ts`. */
export interface TextKernels {
  skipSpace(from: number, end: number): number
  skipNumber(from: number): number
  skipString(from: number, end: number, most: number): number
  scanNumbers(progress: number, end: number, mostCount: number, most: number): number
  readNumber(from: number): number
  readElements(from: number, end: number, into: number, first: number, type: number, direct: number): void
  canonicaliseNaNs(values: number, count: number, wide: number): void
  printFloat32(x: number, into: number): number
  printElements(
    ...call: [
      ...[values: number, wide: number, from: number, to: number, into: number, row: number],
      ...around: number[],
    ]
  ): number
  /** what the calls have left behind */
  readonly missing: number
  readonly after: number
  readonly escapes: number
  readonly index: number
  readonly position: number
}

interface Register {
  readonly value: number
}

type Exports = Omit<TextKernels, 'missing' | 'after' | 'escapes' | 'index' | 'position'> &
  Record<'missing' | 'after' | 'escapes' | 'index' | 'position' | 'tablesAt', Register>

export const ELEMENT_TYPE = { float64: 0, float32: 1, int32: 2, uint8: 3 } as const

let module: WebAssembly.Module | undefined

export function createTextKernels(memory: WebAssembly.Memory): TextKernels {
  module ??= new WebAssembly.Module(readFileSync(TEXT_MODULE))
  const instance = new WebAssembly.Instance(module, { env: { memory } })
  const wasm = instance.exports as unknown as Exports
  // every worker writes the same bytes
  writeTables(memory, wasm.tablesAt.value)
  // WebAssembly's integers arrive signed: addresses from 2 GiB on must be made unsigned
  return {
    skipSpace: (from, end) => wasm.skipSpace(from, end) >>> 0,
    skipNumber: from => wasm.skipNumber(from) >>> 0,
    skipString: (from, end, most) => wasm.skipString(from, end, most) >>> 0,
    scanNumbers: wasm.scanNumbers,
    readNumber: wasm.readNumber,
    readElements: wasm.readElements,
    canonicaliseNaNs: wasm.canonicaliseNaNs,
    printFloat32: (x, into) => wasm.printFloat32(x, into) >>> 0,
    printElements: (...call) => wasm.printElements(...call) >>> 0,
    get missing() {
      return wasm.missing.value >>> 0
    },
    get after() {
      return wasm.after.value >>> 0
    },
    get escapes() {
      return wasm.escapes.value
    },
    get index() {
      return wasm.index.value >>> 0
    },
    get position() {
      return wasm.position.value >>> 0
    },
  }
}

/*
 * The structural pass over one array of numbers or booleans of any rank: checks that it is regular, and remembers where to
 * find what. It can pause behind any comma; what it knows then is plain data.
 */

/** Elements between two marks. */
export const MARK_ELEMENTS = 65536
/** Bytes of the work area in shared memory that a pass needs: `Progress` of `assembly/scan.ts` and two lists behind it. */
export const PASS_BYTES = 84
const MAX_RANK = 8
const NONE = 0xffffffff

/** What `scanNumbers` answers, in its order. */
const OUTCOMES = [
  'done',
  'paused',
  'no digit',
  'no value',
  'no separator',
  'no leaf',
  'too deep',
  'array',
  'empty',
  'leaf',
  'mixed',
  'ragged',
  'long',
] as const
export type Outcome = (typeof OUTCOMES)[number]

/** A pass that has paused: its work area, word by word, and the marks so far. */
export interface PausedPass {
  start: number
  words: number[]
  marks: number[]
}

export class NumbersPass {
  readonly start: number
  readonly marks: number[]
  readonly #kernels: TextKernels
  readonly #text: { start: number; end: number }
  readonly #work: number
  readonly #words: Uint32Array

  /** `text`: the whole text's addresses; `start`: the byte of the opening bracket, or a pass to go on with. */
  constructor(
    kernels: TextKernels,
    text: { start: number; end: number },
    work: Uint32Array,
    start: number | PausedPass,
  ) {
    this.#kernels = kernels
    this.#text = text
    this.#work = work.byteOffset
    this.#words = work
    if (typeof start === 'number') {
      this.start = start
      this.marks = [start, 0]
      work.fill(NONE)
      work.set([text.start + start, 0, NONE, 0, 0])
    } else {
      this.start = start.start
      this.marks = start.marks
      work.set(start.words)
    }
  }

  /** Goes on until the array has ended, something is wrong, or byte `most` is reached. */
  run(most: number): Outcome {
    const limit = Math.min(this.#text.start + most, NONE)
    for (;;) {
      const nextMark = (this.marks.at(-1) as number) + MARK_ELEMENTS
      const outcome = OUTCOMES[this.#kernels.scanNumbers(this.#work, this.#text.end, nextMark, limit)]
      if (outcome === 'paused' && this.count >= nextMark) this.marks.push(this.at, this.count)
      if (outcome !== 'paused' || this.at >= most) return outcome
    }
  }

  get paused(): PausedPass {
    return { start: this.start, words: Array.from(this.#words), marks: this.marks }
  }

  /** the byte that comes next */
  get at(): number {
    return this.#words[0] - this.#text.start
  }

  get count(): number {
    return this.#words[3]
  }

  get element(): 'number' | 'boolean' | undefined {
    return ([undefined, 'number', 'boolean'] as const)[this.#words[4]]
  }

  get shape(): number[] {
    const extents: number[] = []
    for (let level = 5; level < 5 + MAX_RANK && this.#words[level] !== NONE; level++)
      extents.push(this.#words[level])
    return extents
  }

  /** How many members the open arrays have had: the indices of what comes next. */
  get place(): number[] {
    return Array.from(this.#words.subarray(13, 13 + this.#words[1]))
  }

  /** For a ragged array: how many members it should have, and has. */
  get ragged(): { wanted: number; found: number } {
    const level = this.#words[1]
    return { wanted: this.#words[5 + level], found: this.#words[13 + level] }
  }
}
