/**
 * What the text kernels keep in page 0: powers of ten to 128 bits, and constant vectors; the order is that of
 * `assembly/tables.ts`.
 *
 * 10^n = (T + θ)·2^(⌊log₂ 10^n⌋ − 127) with T in [2^127, 2^128) and 0 ≤ θ < 1; θ = 0 for 0 ≤ n ≤ 55.
 */
const LEAST_POWER = -342
const GREATEST_POWER = 308

const HALF = 0xffffffffffffffffn

export function writeTables(memory: WebAssembly.Memory, at: number): void {
  const count = GREATEST_POWER - LEAST_POWER + 1
  const words = new BigUint64Array(memory.buffer, at, 2 * count)
  // 10^LEAST_POWER to 1500 bits: what is cut off stays far below the 128th bit of every power
  let scaled = (1n << 2640n) / 10n ** BigInt(-LEAST_POWER)
  for (let index = 0; index < count; index++, scaled *= 10n) {
    const n = index + LEAST_POWER
    const t = n < 0 ? scaled >> BigInt(2640 - 127 + floorLog2(n)) : exactly(n)
    words[2 * index] = t >> 64n
    words[2 * index + 1] = t & HALF
  }
  const bytes = new Uint8Array(memory.buffer, at + 16 * count, 16 * VECTORS.length)
  bytes.set(VECTORS.flatMap(bytes => Array.from({ length: 16 }, (_, lane) => bytes[lane % bytes.length])))
}

function exactly(n: number): bigint {
  const shift = BigInt(127 - floorLog2(n))
  return shift >= 0n ? (10n ** BigInt(n)) << shift : (10n ** BigInt(n)) >> -shift
}

/** ⌊log₂ 10^n⌋ */
function floorLog2(n: number): number {
  return Math.floor((n * 217706) / 65536)
}

/** The bytes that each vector repeats: '0', 9, ',', the lanes' numbers, and the factors by which digits are joined. */
const VECTORS = [
  [0x30],
  [9],
  [0x2c],
  Array.from({ length: 16 }, (_, lane) => lane),
  [0xff, 0],
  [10, 0],
  [100, 0, 1, 0],
  [0x10, 0x27, 1, 0],
]
