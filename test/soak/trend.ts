/** Does it grow? A line through what was seen, and how far that could be noise. */

export interface Trend {
  /** what the line rises by over all the time */
  growth: number
  /** twice its standard error: growth within it cannot be told from none */
  noise: number
}

/** Least squares over points that follow each other at equal times. What lies `lag` points apart is taken for independent. */
export function trendOf(values: number[], lag = 1): Trend {
  const count = values.length
  const mean = values.reduce((sum, value) => sum + value, 0) / count
  const centre = (count - 1) / 2
  let [covariance, variance] = [0, 0]
  for (const [at, value] of values.entries()) {
    covariance += (at - centre) * (value - mean)
    variance += (at - centre) ** 2
  }
  const slope = covariance / variance
  const residual = values.reduce((sum, value, at) => sum + (value - mean - slope * (at - centre)) ** 2, 0)
  const error = Math.sqrt((residual / Math.max(1, count - 2) / variance) * lag)
  return { growth: slope * (count - 1), noise: 2 * error * (count - 1) }
}
