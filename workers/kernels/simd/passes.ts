/** The kernels around attention in passes: how their arguments cross into WebAssembly. */
import type { PassKernels } from '../pass-kernels.ts'
import { addressOf, type WasmFunction } from './address.ts'

type Names = 'gatherRows' | 'sumParts' | 'lshBuckets'

export type PassExports = Record<Names, WasmFunction>

export function passKernels(wasm: PassExports): Pick<PassKernels, Names> {
  return {
    gatherRows(t, { heads, rows, dim }, from, to) {
      const tensors = [t.x, t.order, t.y].map(addressOf)
      wasm.gatherRows(...tensors, heads, rows, dim * t.x.BYTES_PER_ELEMENT, from, to)
    },
    sumParts(t, { parts, heads, rows, dim }, from, to) {
      wasm.sumParts(...[t.parts, t.ranks, t.y].map(addressOf), parts, heads, rows, dim, from, to)
    },
    lshBuckets(t, { rows, rounds, dim, factors }, from, to, scratch) {
      const [first, second = 0] = factors
      const tensors = [t.x, t.rotations, t.buckets].map(addressOf)
      wasm.lshBuckets(
        ...[...tensors, rows, rounds, dim, (first + second) / 2, first, second, scratch, from, to],
      )
    },
  }
}
