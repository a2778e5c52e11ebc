/**
 * Where a program's buffers stand within its region. Two buffers share memory when no stage needs both: a forward pass
 * keeps nothing that a backward pass does not read.
 *
 * Every request waits for this on the main thread, so it is plain loops: calls and callbacks were most of its time.
 */

import { BYTES, type Program } from '../program.ts'
import { aligned, FreeList } from './arena.ts'

export interface MemoryPlan {
  /** of each buffer, from the region's beginning; −1 for a buffer that stands elsewhere */
  offsets: number[]
  bytes: number
}

/** First and last stage that needs a buffer, of each buffer. */
interface Lifetimes {
  first: Int32Array
  last: Int32Array
}

/** Buffers or stages between two pauses. */
const PAUSE = 1024

/** Without the pauses. */
export function planMemory(program: Program): MemoryPlan {
  const planning = planningMemory(program)
  for (;;) {
    const { done, value } = planning.next()
    if (done) return value
  }
}

/** Pauses now and then. */
export function* planningMemory(program: Program): Generator<void, MemoryPlan> {
  const { buffers } = program
  const end = program.stages.length
  const { first, last } = yield* lifetimes(program)
  const sizes = new Float64Array(buffers.length)
  const births: number[][] = []
  const deaths: number[][] = []
  for (let stage = 0; stage <= end; stage++) {
    births.push([])
    deaths.push([])
  }
  for (let buffer = 0; buffer < buffers.length; buffer++) {
    const { type, length, at, within } = buffers[buffer]
    if (at !== undefined || within !== undefined) continue
    sizes[buffer] = aligned(length * BYTES[type])
    births[first[buffer]].push(buffer)
    deaths[last[buffer]].push(buffer)
    if (buffer % PAUSE === PAUSE - 1) yield
  }
  const free = new FreeList(0)
  const offsets = new Array<number>(buffers.length).fill(-1)
  let bytes = 0
  let placed = 0
  for (let stage = 0; stage <= end; stage++) {
    // large ones first: they find the large holes
    const born = births[stage]
    if (born.length > 1) born.sort((a, b) => sizes[b] - sizes[a])
    for (const buffer of born) {
      if (++placed % PAUSE === 0) yield
      const size = sizes[buffer]
      offsets[buffer] = size === 0 ? 0 : (free.reuse(size) ?? free.extend(size))
      bytes = Math.max(bytes, free.top)
    }
    if (stage === end) break
    for (const buffer of deaths[stage]) if (sizes[buffer] > 0) free.giveBack(offsets[buffer], sizes[buffer])
  }
  for (let buffer = 0; buffer < buffers.length; buffer++) {
    const { within, type } = buffers[buffer]
    if (within !== undefined) offsets[buffer] = offsets[within.buffer] + within.start * BYTES[type]
  }
  return { offsets, bytes }
}

/** A buffer that no step names needs no life, but a place: it lives in stage 0. */
function* lifetimes({ buffers, stages, barriers }: Program): Generator<void, Lifetimes> {
  const end = stages.length
  const lives = { first: new Int32Array(buffers.length).fill(end), last: new Int32Array(buffers.length) }
  const kept: number[] = []
  for (let buffer = 0; buffer < buffers.length; buffer++) {
    const { data, preloaded, keep } = buffers[buffer]
    if (data !== undefined || preloaded) lives.first[buffer] = 0
    if (keep) kept.push(buffer)
  }
  for (let stage = 0; stage < end; stage++) {
    for (const { tensors, nonFinite } of stages[stage]) {
      const named: (number | undefined)[] = Object.values(tensors)
      named.push(nonFinite)
      need(named, stage, buffers, lives)
    }
    if (stage % PAUSE === PAUSE - 1) yield
  }
  for (let index = 0; index < barriers.length; index++) {
    need(barriers[index].buffers, barriers[index].stage, buffers, lives)
    need(barriers[index].buffers, barriers[index + 1]?.stage ?? end, buffers, lives)
  }
  need(kept, end, buffers, lives)
  for (let buffer = 0; buffer < buffers.length; buffer++)
    lives.first[buffer] = Math.min(lives.first[buffer], lives.last[buffer])
  return lives
}

function need(
  named: (number | undefined)[],
  stage: number,
  buffers: Program['buffers'],
  { first, last }: Lifetimes,
): void {
  for (const each of named) {
    if (each === undefined) continue
    const buffer = buffers[each].within?.buffer ?? each
    first[buffer] = Math.min(first[buffer], stage)
    last[buffer] = Math.max(last[buffer], stage)
  }
}
