/** The kernels that work on rows or elements: how their arguments cross into WebAssembly. */
import type { ActivationKind } from '../../layer-args.ts'
import type { RopeArgs } from '../../task.ts'
import type { KernelSet } from '../kernel-set.ts'
import { addressOf, type WasmFunction } from './address.ts'

type Names =
  | 'normForward'
  | 'normBackward'
  | 'activationForward'
  | 'activationBackward'
  | 'add'
  | 'columnSums'
  | 'dropoutRows'
  | 'qkNormForward'
  | 'qkNormBackward'
  | 'ropeForward'
  | 'ropeBackward'

export type LayerExports = Record<Exclude<Names, 'ropeForward' | 'ropeBackward'> | 'rotateRows', WasmFunction>

/** The numbering in `assembly/activation.ts`. */
const KINDS: Record<ActivationKind, number> = { relu: 0, gelu: 1, gelu_tanh: 2, silu: 3, swiglu: 4 }

export function layerKernels(wasm: LayerExports): Pick<KernelSet, Names> {
  const rotation = (a: RopeArgs, turn: 1 | -1) => [a.positions, a.dim, a.dims, Number(a.interleaved), turn]
  return {
    normForward(t, { dim, kind, eps }, from, to) {
      const tensors = [t.x, t.gamma, t.beta, t.y].map(addressOf)
      wasm.normForward(...tensors, dim, Number(kind === 'layer'), eps, from, to)
    },
    normBackward(t, { rows, dim, kind, eps }, from, to) {
      const inputs = [t.x, t.gamma, t.gradY, t.residual]
      const tensors = [...inputs, t.gradX, t.partialGamma, t.partialBeta].map(addressOf)
      wasm.normBackward(...tensors, rows, dim, Number(kind === 'layer'), eps, from, to)
    },
    activationForward(t, { kind, count }, from, to) {
      wasm.activationForward(KINDS[kind], ...[t.x, t.gate, t.y].map(addressOf), count, from, to)
    },
    activationBackward(t, { kind, count }, from, to) {
      const tensors = [t.x, t.gate, t.gradY, t.gradX, t.gradGate].map(addressOf)
      wasm.activationBackward(KINDS[kind], ...tensors, count, from, to)
    },
    add(t, { count, period }, from, to) {
      wasm.add(...[t.a, t.b, t.y].map(addressOf), count, period, from, to)
    },
    columnSums(t, { batch, heads, positions, width }, from, to) {
      wasm.columnSums(addressOf(t.x), addressOf(t.y), batch, heads, positions, width, from, to)
    },
    dropoutRows(t, { dim, p, seedLow, seedHigh }, from, to) {
      const [x, y] = [t.x, t.y].map(addressOf)
      wasm.dropoutRows(x, y, dim, Math.floor(p * 2 ** 32), 1 / (1 - p), seedLow, seedHigh, from, to)
    },
    qkNormForward(t, { dim, kind, eps }, from, to) {
      wasm.qkNormForward(...[t.x, t.y].map(addressOf), dim, Number(kind === 'l2'), eps, from, to)
    },
    qkNormBackward(t, { dim, kind, eps }, from, to) {
      const tensors = [t.x, t.gradY, t.gradX].map(addressOf)
      wasm.qkNormBackward(...tensors, dim, Number(kind === 'l2'), eps, from, to)
    },
    ropeForward(t, a, from, to) {
      wasm.rotateRows(...[t.x, t.cos, t.sin, t.y].map(addressOf), ...rotation(a, 1), from, to)
    },
    ropeBackward(t, a, from, to) {
      wasm.rotateRows(...[t.gradY, t.cos, t.sin, t.gradX].map(addressOf), ...rotation(a, -1), from, to)
    },
  }
}
