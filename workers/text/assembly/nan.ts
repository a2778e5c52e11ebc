/** NaN has 2^24 − 2 bit patterns as float32, and which one an operation gives is the processor's own: one goes out for all. */

const NAN32: u32 = 0x7fc00000
const NAN64: u64 = 0x7ff8000000000000

/** Writes the one pattern of NaN wherever one stands among `count` float32 at p, or float64 where `wide`. */
export function canonicaliseNaNs(p: usize, count: usize, wide: bool): void {
  const end = p + (count << (2 + <usize>wide))
  if (wide) {
    for (; p + 64 <= end; p += 64) if (hasNaN64(p)) each64(p, p + 64)
    each64(p, end)
  } else {
    for (; p + 64 <= end; p += 64) if (hasNaN32(p)) each32(p, p + 64)
    each32(p, end)
  }
}

/** Among 64 bytes: looking is all that there is to do where there is none. */
// @ts-expect-error: decorator
@inline
function hasNaN32(p: usize): bool {
  const a = v128.load(p)
  const b = v128.load(p, 16)
  const c = v128.load(p, 32)
  const d = v128.load(p, 48)
  const low = v128.or(f32x4.ne(a, a), f32x4.ne(b, b))
  return v128.any_true(v128.or(low, v128.or(f32x4.ne(c, c), f32x4.ne(d, d))))
}

// @ts-expect-error: decorator
@inline
function hasNaN64(p: usize): bool {
  const a = v128.load(p)
  const b = v128.load(p, 16)
  const c = v128.load(p, 32)
  const d = v128.load(p, 48)
  const low = v128.or(f64x2.ne(a, a), f64x2.ne(b, b))
  return v128.any_true(v128.or(low, v128.or(f64x2.ne(c, c), f64x2.ne(d, d))))
}

function each32(p: usize, end: usize): void {
  for (; p < end; p += 4) if ((load<u32>(p) & 0x7fffffff) > 0x7f800000) store<u32>(p, NAN32)
}

function each64(p: usize, end: usize): void {
  for (; p < end; p += 8) if ((load<u64>(p) & 0x7fffffffffffffff) > 0x7ff0000000000000) store<u64>(p, NAN64)
}
