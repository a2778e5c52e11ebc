/**
 * Seeded numbers for a sentence: every word has an embedding of its own (the same word, the same vector), and seeded
 * projections make Q, K and V of it. They are random, not trained: they show how attention computes, not what words mean.
 */
import type { Matrix } from '../matrix/matrix.ts'

/** 32-bit FNV-1a over UTF-16 units. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193)
  }
  return value >>> 0
}

/** Standard normal numbers from a seed, by Box and Muller over a Weyl sequence mixed as in SplitMix32. */
export function* normals(seed: string): Generator<number, never> {
  let state = hash(seed)
  const uniform = () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32
  }
  for (;;) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()))
    const angle = 2 * Math.PI * uniform()
    yield radius * Math.cos(angle)
    yield radius * Math.sin(angle)
  }
}

/** A few decimals are enough, and can be read. */
const rounded = (value: number) => Math.round(value * 1000) / 1000

export function words(sentence: string): string[] {
  return sentence.trim().split(/\s+/).filter(Boolean)
}

/** [N, d]: a row for every word. */
export function embed(tokens: string[], dim: number, seed: number): Matrix {
  return tokens.map(token => {
    const source = normals(`${seed} ${token.toLowerCase()}`)
    return Array.from({ length: dim }, () => rounded(source.next().value))
  })
}

/** x·W with W [d, d] of variance 1/d, so that what comes out is as large as what went in. */
export function project(x: Matrix, seed: string): Matrix {
  const dim = x[0]?.length ?? 0
  const source = normals(seed)
  const weights = Array.from({ length: dim * dim }, () => source.next().value / Math.sqrt(dim))
  return x.map(row =>
    Array.from({ length: dim }, (_, col) => {
      let sum = 0
      for (let index = 0; index < dim; index++) sum += row[index]! * weights[index * dim + col]!
      return rounded(sum)
    }),
  )
}
