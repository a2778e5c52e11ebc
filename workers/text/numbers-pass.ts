/**
 * The structural pass over one array of numbers or booleans of any rank, by the text kernels: checks that it is regular,
 * and remembers where to find what. It can pause behind any comma; what it knows then is plain data.
 */
import type { TextKernels } from './text-kernels.ts'

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
    return Array.from(this.#words.subarray(5, 5 + MAX_RANK)).filter(extent => extent !== NONE)
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
