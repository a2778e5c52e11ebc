/** Tensors whose positions come before their heads, in the order that kernels read, which is heads first; and back. */
import type { Ref } from '../../../workers/contract.ts'
import { headOrder } from '../../../workers/ops/head-order/op.ts'
import { gatherRows } from '../../../workers/ops/passes/op.ts'
import type { RequestProgram } from '../program-builder.ts'

/** What tensors of the same rows have in common, whatever a row holds. */
export interface Rows {
  heads: number
  /** of one batch element */
  positions: number
}

type Form = 'toHeads' | 'toPositions'

/** Of a request whose tensors are [batch, positions, heads, dim]. */
export class HeadsFirst {
  readonly #p: RequestProgram
  readonly #batch: number
  readonly #orders = new Map<string, Ref>()

  constructor(p: RequestProgram, batch: number) {
    this.#p = p
    this.#batch = batch
  }

  /** A tensor's, as the client sees it. */
  shape({ heads, positions }: Rows, dim: number): number[] {
    return [this.#batch, positions, heads, dim]
  }

  /** x [batch, positions, heads, dim] as [batch, heads, positions, dim]. */
  read(x: Ref, rows: Rows, dim: number): Ref {
    return this.#gather(x, rows, dim, 'toHeads')
  }

  /** The way back. */
  write(x: Ref, rows: Rows, dim: number): Ref {
    return this.#gather(x, rows, dim, 'toPositions')
  }

  #gather(x: Ref, rows: Rows, dim: number, form: Form): Ref {
    const p = this.#p
    const count = this.#batch * rows.positions * rows.heads
    const y = p.buffer({ type: p.buffers[x].type, length: count * dim })
    const args = { parts: 1, heads: 1, rows: count, dim }
    p.stage(p.step(gatherRows, { x, order: this.#order(rows, form), y }, args))
    return y
  }

  #order({ heads, positions }: Rows, form: Form): Ref {
    const p = this.#p
    const key = [form, heads, positions].join()
    const there = this.#orders.get(key)
    if (there !== undefined) return there
    const sizes = { sequences: this.#batch, positions: this.#batch * positions, heads }
    const order = p.buffer({ type: 'int32', length: sizes.positions * heads })
    p.prepare(p.step(headOrder, { order }, { form, ...sizes }))
    this.#orders.set(key, order)
    return order
  }
}
