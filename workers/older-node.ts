/**
 * What the service uses of JavaScript and Node 22 and 24 do not have; the first import of every thread's first file. Where the
 * runtime has a thing of its own, nothing is replaced.
 */

const words = new Uint32Array(1)
const single = new Float32Array(words.buffer)
const LEAST_NORMAL = 2 ** -14
const LARGEST = 65504
/** From here on a number rounds to infinity: half a last place above the largest. */
const OVERFLOW = 65520

/** To the nearest half, ties to even, from a double in one rounding. */
export function f16round(given: number): number {
  const value = Number(given)
  const size = Math.abs(value)
  if (!Number.isFinite(value) || size === 0) return value
  if (size >= OVERFLOW) return value < 0 ? -Infinity : Infinity
  const exponent = Math.max(-14, Math.floor(Math.log2(size)))
  // log2 may round up to the next power of two
  const place = 2 ** ((size < 2 ** exponent ? Math.max(-14, exponent - 1) : exponent) - 10)
  const rounded = Math.min(LARGEST, toEven(size / place) * place)
  return value < 0 ? -rounded : rounded
}

/** Of a non-negative number below 2^53. */
function toEven(value: number): number {
  const down = Math.floor(value)
  const rest = value - down
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1
  return down % 2 === 0 ? down : down + 1
}

/** The bits of a number that is a half already. */
export function halfBits(half: number): number {
  if (Number.isNaN(half)) return 0x7e00
  single[0] = half
  const sign = (words[0] >>> 16) & 0x8000
  const size = Math.abs(half)
  if (size > LARGEST) return sign | 0x7c00
  if (size < LEAST_NORMAL) return sign | (size * 2 ** 24)
  return sign | ((words[0] >>> 13) & 0x3ff) | ((((words[0] >>> 23) & 0xff) - 112) << 10)
}

export function halfFrom(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 0x1f
  const mantissa = bits & 0x3ff
  if (exponent === 0x1f) return mantissa === 0 ? sign * Infinity : Number.NaN
  if (exponent === 0) return sign * mantissa * 2 ** -24
  return sign * (1024 + mantissa) * 2 ** (exponent - 25)
}

/** Strict base64: what decodes to something that encodes to the same text. */
function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) throw new SyntaxError('not base64')
  return new Uint8Array(bytes)
}

class Stack {
  #held: Disposable[] = []

  use<T extends Disposable>(value: T): T {
    this.#held.push(value)
    return value
  }

  defer(dispose: () => void): void {
    this.#held.push({ [Symbol.dispose]: dispose })
  }

  move(): Stack {
    const stack = new Stack()
    stack.#held = this.#held
    this.#held = []
    return stack
  }

  dispose(): void {
    for (let last = this.#held.pop(); last !== undefined; last = this.#held.pop()) last[Symbol.dispose]()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}

function define(target: object, name: string, value: unknown): void {
  if (!(name in target)) Object.defineProperty(target, name, { value, writable: true, configurable: true })
}

define(Math, 'f16round', f16round)
define(Uint8Array, 'fromBase64', fromBase64)
define(globalThis, 'DisposableStack', Stack)
