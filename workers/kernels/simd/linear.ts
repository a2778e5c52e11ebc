/** Products with weight matrices: how they cross into WebAssembly, and the work area they need. */
import { type LinearArgs, PRODUCT_COLUMNS } from '../../layer-args.ts'
import type { LayerKernels } from '../layer-kernels.ts'
import { addressOf, type WasmFunction } from './address.ts'

/** Rows that go through a packed block of columns at a time, and most of the depth packed (`assembly/linear.ts`). */
const ROWS_TOGETHER = 96
const DEPTH = 256
/** Columns of the widest variant's register tile. */
const PANEL = 16
/** Bytes before the packs. */
const HEADER = 1024 + DEPTH

/** Bytes of scratch memory that any of a layer's three products needs. */
export function linearScratchBytes({ batch, positions, dimIn, dimOut }: LinearArgs): number {
  const depth = Math.min(DEPTH, Math.max(dimIn, dimOut, batch * positions))
  const columns = Math.min(PRODUCT_COLUMNS, Math.ceil(Math.max(dimIn, dimOut) / PANEL) * PANEL)
  return HEADER + (ROWS_TOGETHER + columns) * depth * 4
}

export type LinearExports = Record<
  'linearForward' | 'linearBackwardInput' | 'linearBackwardWeight',
  WasmFunction
>

export function linearKernels(
  wasm: LinearExports,
): Pick<LayerKernels, 'linearForward' | 'linearBackwardInput' | 'linearBackwardWeight'> {
  return {
    linearForward(t, a, from, to, scratch) {
      const tensors = [t.x, t.weight, t.bias, t.residual, t.y].map(addressOf)
      wasm.linearForward(...tensors, ...sizes(a), from, to, scratch)
    },
    linearBackwardInput(t, a, from, to, scratch) {
      const tensors = [t.gradY, t.weight, t.residual, t.gradX].map(addressOf)
      wasm.linearBackwardInput(...tensors, ...sizes(a), from, to, scratch)
    },
    linearBackwardWeight(t, a, from, to, scratch) {
      const tensors = [t.x, t.gradY, t.gradWeight].map(addressOf)
      wasm.linearBackwardWeight(...tensors, ...sizes(a), Number(a.careful), from, to, scratch)
    },
  }
}

function sizes({ batch, positions, dimIn, dimOut, headsIn, headsOut }: LinearArgs): number[] {
  return [batch, positions, dimIn, dimOut, headsIn, headsOut]
}
