/** Numbers from a seed, for test data. */

/** A Weyl sequence through a 32-bit mixer: good enough for test data, the same everywhere. In (0, 1). */
export function uniformNumbers(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let x = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97)
    return (((x ^ (x >>> 15)) >>> 0) + 0.5) / 2 ** 32
  }
}

/** Standard normal numbers by Box and Muller. */
export function normalNumbers(uniform: number | (() => number)): () => number {
  const draw = typeof uniform === 'number' ? uniformNumbers(uniform) : uniform
  return () => Math.sqrt(-2 * Math.log(draw())) * Math.cos(2 * Math.PI * draw())
}
