/** Numbers as the page writes them: a true minus, −∞ by its sign, no trailing zeros, no more digits than asked for. */
export function format(value: number, digits = 4): string {
  if (value === -Infinity) return '−∞'
  if (value === Infinity) return '∞'
  if (Number.isNaN(value)) return 'NaN'
  const size = Math.abs(value)
  if (size !== 0 && (size < 0.5 * 10 ** -digits || size >= 1e6)) {
    return value
      .toExponential(Math.max(1, digits - 2))
      .replace(/^-/, '−')
      .replace('e-', 'e−')
      .replace('e+', 'e')
  }
  const text = String(Number(value.toFixed(digits)))
  return (text === '-0' ? '0' : text).replace('-', '−')
}

/** In a sum, what stands on its left of it: `(−0.5)`. */
export function factor(value: number, digits = 4): string {
  const text = format(value, digits)
  return text.startsWith('−') ? `(${text})` : text
}
