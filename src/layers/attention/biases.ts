/**
 * The slopes of ALiBi (Press et al. 2022, "Train Short, Test Long"): for a power of two of heads the geometric sequence
 * that starts at 2^(−8/heads) and has that ratio; for other counts the slopes of the power of two below, then every other
 * slope of the power of two above, from its first on.
 */
export function alibiSlopes(heads: number): number[] {
  const below = 2 ** Math.floor(Math.log2(heads))
  // plain loops: the main thread waits for this, and there may be 65536 of them
  const slopes: number[] = []
  for (let head = 1; head <= below; head++) slopes.push(2 ** ((-8 * head) / below))
  for (let head = 1; slopes.length < heads; head += 2) slopes.push(2 ** ((-8 * head) / (2 * below)))
  return slopes
}
