/**
 * The slopes of ALiBi (Press et al. 2022, "Train Short, Test Long"): for a power of two of heads the geometric sequence
 * that starts at 2^(−8/heads) and has that ratio; for other counts the slopes of the power of two below, then every other
 * slope of the power of two above, from its first on.
 */
export function alibiSlopes(heads: number): number[] {
  const below = 2 ** Math.floor(Math.log2(heads))
  const extra = geometric(2 * below).filter((_, index) => index % 2 === 0)
  return [...geometric(below), ...extra].slice(0, heads)
}

function geometric(heads: number): number[] {
  return Array.from({ length: heads }, (_, index) => 2 ** ((-8 * (index + 1)) / heads))
}
