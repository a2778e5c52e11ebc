/** Ratios of polynomials, coefficients of rising power. */
const CENTRE = {
  above: [
    3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946, 45921.95393154987,
    67265.7709270087, 33430.57558358813, 2509.0809287301227,
  ],
  below: [
    1.0, 42.31333070160091, 687.1870074920579, 5394.196021424751, 21213.794301586597, 39307.89580009271,
    28729.085735721943, 5226.495278852546,
  ],
}
const TAIL = {
  above: [
    1.4234371107496835, 4.630337846156546, 5.769497221460691, 3.6478483247632045, 1.2704582524523684,
    0.2417807251774506, 0.022723844989269184, 0.0007745450142783414,
  ],
  below: [
    1.0, 2.053191626637759, 1.6763848301838038, 0.6897673349851, 0.14810397642748008, 0.015198666563616457,
    0.0005475938084995345, 1.0507500716444169e-9,
  ],
}
const FAR_TAIL = {
  above: [
    6.657904643501103, 5.463784911164114, 1.7848265399172913, 0.29656057182850487, 0.026532189526576124,
    0.0012426609473880784, 2.7115555687434876e-5, 2.0103343992922881e-7,
  ],
  below: [
    1.0, 0.599832206555888, 0.1369298809227358, 0.014875361290850615, 0.0007868691311456133,
    1.8463183175100548e-5, 1.421511758316446e-7, 2.0442631033899397e-15,
  ],
}

/**
 * Φ⁻¹(p) for p in (0, 1), to about 1e-16, by + − × ÷ √ alone, so that its bits are the same everywhere.
 * Source: Wichura 1988, algorithm AS 241 (PPND16).
 */
export function normalQuantile(p: number): number {
  const q = p - 0.5
  if (Math.abs(q) <= 0.425) return q * ratio(CENTRE, 0.180625 - q * q)
  const r = Math.sqrt(-naturalLog(Math.min(p, 1 - p)))
  const size = r <= 5 ? ratio(TAIL, r - 1.6) : ratio(FAR_TAIL, r - 5)
  return q < 0 ? -size : size
}

function ratio({ above, below }: typeof CENTRE, x: number): number {
  return polynomial(above, x) / polynomial(below, x)
}

function polynomial(coefficients: number[], x: number): number {
  let sum = 0
  for (let power = coefficients.length - 1; power >= 0; power--) sum = sum * x + coefficients[power]
  return sum
}

/**
 * ln x for x in (0, 1]: x = 2ⁿ·m with m ∈ [√½, √2), ln m = 2·artanh z = 2·Σ z^(2k+1)/(2k+1), z = (m − 1)/(m + 1),
 * |z| < 0.1716: the first term left out is 1e-17 of the sum.
 */
function naturalLog(x: number): number {
  let m = x
  let n = 0
  for (; m < Math.SQRT1_2; n--) m *= 2
  const z = (m - 1) / (m + 1)
  let sum = 0
  for (let k = 10; k >= 0; k--) sum = sum * z * z + 1 / (2 * k + 1)
  return n * Math.LN2 + 2 * z * sum
}
