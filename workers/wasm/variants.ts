/** The builds of the one AssemblyScript source. A variant is a line here. */
export const SIMD_VARIANTS = {
  /** multiply, then add; 6×8 tiles: runs wherever WebAssembly SIMD does */
  simd128: { wide: 0, relaxed: false },
  /** fused multiply-add; 6×8 tiles, which fill the sixteen 128-bit registers */
  relaxed: { wide: 0, relaxed: true },
  /** fused multiply-add; 6×16 tiles, for `node --experimental-wasm-revectorize`, where V8 fuses pairs into 256 bits */
  wide: { wide: 1, relaxed: true },
} as const

export type SimdVariant = keyof typeof SIMD_VARIANTS

/** Where `scripts/build-kernels.ts` puts a variant's module. */
export function moduleFile(variant: SimdVariant): URL {
  return new URL(`./build/${variant}.wasm`, import.meta.url)
}
