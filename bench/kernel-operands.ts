/** What kernels are timed on without a server around them: their memory, tensors in it, and attention's arguments. */
import type { AttentionArgs } from '../workers/task.ts'

const PAGE = 65536
const ALIGN = 64

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

  /** The tensors made so far are not needed any more. */
  reset(): void {
    this.#next = PAGE
  }
}

/** Softmax attention of [1, heads, n, d] with no option but `causal`. */
export function attentionArgs(heads: number, n: number, d: number, causal: boolean): AttentionArgs {
  return {
    ...{ batch: 1, heads, kvHeads: heads, queries: n, keys: n, dimK: d, dimV: d, causal },
    ...{ scale: 1 / Math.sqrt(d), softcap: 0, alignment: 'top_left', pastKeys: 0, windowLeft: -1 },
    ...{ windowRight: -1, maskKind: 'none', maskStrides: [0, 0, 0, 0], dropoutP: 0, seedLow: 0, seedHigh: 0 },
    careful: false,
  }
}
