/**
 * Where a program's buffers stand within its region. Two buffers share memory when no stage needs both: a forward pass
 * keeps nothing that a backward pass does not read, without anyone having to say so.
 */
import type { BufferSpec, Program } from '../program.ts'
import { BYTES } from '../program.ts'
import { aligned } from './arena.ts'
import { FreeList } from './free-list.ts'

export interface MemoryPlan {
  /** of each buffer, from the region's beginning; −1 for a buffer that stands elsewhere */
  offsets: number[]
  bytes: number
}

/** First and last stage that needs a buffer. */
interface Lifetime {
  first: number
  last: number
}

export function planMemory(program: Program): MemoryPlan {
  const { buffers } = program
  const lives = lifetimes(program)
  const births: number[][] = Array.from({ length: program.stages.length + 1 }, () => [])
  const deaths: number[][] = Array.from({ length: program.stages.length + 1 }, () => [])
  for (const [buffer, spec] of buffers.entries()) {
    if (spec.at !== undefined || spec.within !== undefined) continue
    births[lives[buffer].first].push(buffer)
    deaths[lives[buffer].last].push(buffer)
  }
  const free = new FreeList(0)
  const offsets = buffers.map(() => -1)
  let bytes = 0
  for (const [stage, born] of births.entries()) {
    // large ones first: they find the large holes
    for (const buffer of born.sort((a, b) => bytesOf(buffers[b]) - bytesOf(buffers[a]))) {
      const size = bytesOf(buffers[buffer])
      offsets[buffer] = size === 0 ? 0 : (free.reuse(size) ?? free.extend(size))
      bytes = Math.max(bytes, free.top)
    }
    for (const buffer of deaths[stage]) {
      const size = bytesOf(buffers[buffer])
      if (size > 0) free.giveBack(offsets[buffer], size)
    }
  }
  for (const [buffer, { within, type }] of buffers.entries()) {
    if (within !== undefined) offsets[buffer] = offsets[within.buffer] + within.start * BYTES[type]
  }
  return { offsets, bytes }
}

/** A buffer that no step names needs no life, but a place: it lives in stage 0. */
function lifetimes({ buffers, stages, marks }: Program): Lifetime[] {
  const lives: Lifetime[] = buffers.map(spec => ({
    first: spec.data !== undefined || spec.early ? 0 : stages.length,
    last: 0,
  }))
  const need = (buffer: number, stage: number) => {
    const life = lives[buffers[buffer].within?.buffer ?? buffer]
    life.first = Math.min(life.first, stage)
    life.last = Math.max(life.last, stage)
  }
  for (const [stage, steps] of stages.entries()) {
    for (const { tensors, nonFinite } of steps) {
      for (const buffer of Object.values(tensors)) if (buffer !== undefined) need(buffer, stage)
      if (nonFinite !== undefined) need(nonFinite, stage)
    }
  }
  for (const [index, mark] of marks.entries()) {
    for (const buffer of mark.buffers) {
      need(buffer, mark.stage)
      need(buffer, marks[index + 1]?.stage ?? stages.length)
    }
  }
  for (const [buffer, spec] of buffers.entries()) {
    if (spec.keep) need(buffer, stages.length)
    const life = lives[buffer]
    if (life.first > life.last) life.first = life.last
  }
  return lives
}

function bytesOf({ length, type }: BufferSpec): number {
  return aligned(length * BYTES[type])
}
