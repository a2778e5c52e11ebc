/** What is drawn from the seed: the entries of an input that are looked at, and the seeds of its directions. */

/** Chris Wellons' lowbias32, as of dropout. */
function mix(x: number): number {
  let y = Math.imul(x ^ (x >>> 16), 0x7feb352d)
  y = Math.imul(y ^ (y >>> 15), 0x846ca68b)
  return (y ^ (y >>> 16)) >>> 0
}

/** 32 bits for the n-th draw of an input. */
function draw(seed: number, input: number, n: number): number {
  return mix(mix(seed >>> 0) + mix(Math.floor(seed / 2 ** 32) ^ mix(input + 1)) + mix(n))
}

/** Distinct entries of `count`, rising; all where there are no more than are wanted. */
export function drawEntries(seed: number, input: number, count: number, wanted: number): number[] {
  if (count <= wanted) return Array.from({ length: count }, (_, index) => index)
  const drawn = new Set<number>()
  for (let n = 0; drawn.size < wanted; n++) {
    const [high, low] = [draw(seed, input, 2 * n), draw(seed, input, 2 * n + 1)]
    drawn.add(Math.floor((high + low * 2 ** -32) * 2 ** -32 * count))
  }
  return [...drawn].sort((a, b) => a - b)
}

export function directionSeed(seed: number, input: number, direction: number): number {
  return draw(seed, input, -1 - direction)
}
