/** The kernels around attention in passes: how their arguments cross into WebAssembly. */
import type { SimdModule } from '../../wasm/simd-module.ts'
import type { PassKernels } from '../pass-kernels.ts'

export function passKernels(simd: SimdModule): Pick<PassKernels, 'gatherRows' | 'sumParts' | 'lshBuckets'> {
  const [gatherRows, sumParts, lshBuckets] = ['gatherRows', 'sumParts', 'lshBuckets'].map(name => {
    return simd.export(name)
  })
  return {
    gatherRows(t, { heads, rows, dim }, from, to) {
      const tensors = [t.x, t.order, t.y].map(tensor => tensor.byteOffset)
      gatherRows(...tensors, heads, rows, dim * t.x.BYTES_PER_ELEMENT, from, to)
    },
    sumParts(t, { parts, heads, rows, dim }, from, to) {
      const tensors = [t.parts, t.ranks, t.y].map(tensor => tensor.byteOffset)
      sumParts(...tensors, parts, heads, rows, dim, from, to)
    },
    lshBuckets(t, { rows, rounds, dim, factors }, from, to, scratch) {
      const [first, second = 0] = factors
      const tensors = [t.x, t.rotations, t.buckets].map(tensor => tensor.byteOffset)
      lshBuckets(...[...tensors, rows, rounds, dim, (first + second) / 2, first, second, scratch, from, to])
    },
  }
}
