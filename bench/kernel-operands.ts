/** What kernels are timed on without a server around them: their memory, tensors in it, and attention's arguments. */
import { ALIGN, PAGE } from '../workers/layout.ts'
import type { AttentionArgs } from '../workers/ops/attention/op.ts'

export class KernelMemory {
  readonly memory: WebAssembly.Memory
  #next = PAGE

  constructor(pages: number) {
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
  }

  /** A tensor of random numbers in [−½, ½) behind those made before. */
  tensor(length: number): Float32Array {
    const view = new Float32Array(this.memory.buffer, this.#next, length)
    this.#next += Math.ceil(view.byteLength / ALIGN) * ALIGN
    for (let i = 0; i < length; i++) view[i] = Math.random() - 0.5
    return view
  }

  /** Room for `length` float64, at the place of such a tensor. */
  doubles(length: number): Float64Array {
    return new Float64Array(this.memory.buffer, this.tensor(2 * length).byteOffset, length)
  }

  /** The keys that each of n rows attends to under a causal mask. */
  causal(n: number): Int32Array {
    const intervals = new Int32Array(this.memory.buffer, this.tensor(2 * n).byteOffset, 2 * n)
    for (let i = 0; i < n; i++) intervals.set([0, i + 1], 2 * i)
    return intervals
  }

  /** The tensors made so far are not needed any more. */
  reset(): void {
    this.#next = PAGE
  }
}

/** Softmax attention of [1, heads, n, d] without options. */
export function attentionArgs(heads: number, n: number, d: number): AttentionArgs {
  return {
    batch: 1,
    heads,
    kvHeads: heads,
    queries: n,
    keys: n,
    dimK: d,
    dimV: d,
    scale: 1 / Math.sqrt(d),
    softcap: 0,
    intervalStrides: [0, 0],
    shift: 0,
    maskKind: 'none',
    maskStrides: [0, 0, 0, 0],
    earlier: 0,
    distances: 0,
    firstDistance: 0,
    dropoutP: 0,
    seedLow: 0,
    seedHigh: 0,
  }
}
