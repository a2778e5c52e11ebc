/**
 * Tables in page 0, which belongs to the modules: written once, by `tables.ts` outside.
 *
 * Vectors stand there too, though they are constants: V8 builds a constant anew at each use, with three instructions,
 * but keeps in a register what was loaded.
 */

/** The tables' address; what stands where behind it is told by the offsets below. */
export const tablesAt: usize = 1024

export const LEAST_POWER: i32 = -342
export const GREATEST_POWER: i32 = 308

/** 10^n = (T + θ)·2^(⌊log₂ 10^n⌋ − 127), 0 ≤ θ < 1, T in [2^127, 2^128): its upper half. */
// @ts-expect-error: decorator
@inline
export function powerHigh(n: i32): u64 {
  return load<u64>(tablesAt + ((n - LEAST_POWER) << 4))
}

/** Its lower half. */
// @ts-expect-error: decorator
@inline
export function powerLow(n: i32): u64 {
  return load<u64>(tablesAt + ((n - LEAST_POWER) << 4), 8)
}

const VECTORS: usize = tablesAt + (GREATEST_POWER - LEAST_POWER + 1) * 16

// @ts-expect-error: decorator
@inline
export const ZEROS: usize = VECTORS
// @ts-expect-error: decorator
@inline
export const NINES: usize = VECTORS + 16
// @ts-expect-error: decorator
@inline
export const COMMAS: usize = VECTORS + 32
// @ts-expect-error: decorator
@inline
export const LANES: usize = VECTORS + 48
// @ts-expect-error: decorator
@inline
export const LOW_BYTES: usize = VECTORS + 64
// @ts-expect-error: decorator
@inline
export const TENS: usize = VECTORS + 80
// @ts-expect-error: decorator
@inline
export const HUNDREDS: usize = VECTORS + 96
// @ts-expect-error: decorator
@inline
export const TEN_THOUSANDS: usize = VECTORS + 112
