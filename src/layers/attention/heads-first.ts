/**
 * Tensors whose positions come before their heads. Where the kernels of attention read them as they are (`positionsFirst` of its
 * arguments), `read` and `write` leave them so; otherwise they put heads first, and positions again. What there is of rows besides
 * always has heads first.
 */
import type { Ref } from '../../../workers/contract.ts'
import { headOrder } from '../../../workers/ops/head-order/op.ts'
import { gatherRows } from '../../../workers/ops/passes/op.ts'
import type { RequestProgram } from '../program-builder.ts'

/** What tensors of the same rows have in common, whatever a row holds. */
export interface Rows {
  heads: number
  /** of one batch element; of packed sequences, all of them */
  positions: number
  /** [sequences + 1], of packed sequences: where each begins */
  offsets?: Ref
}

type Form = 'toHeads' | 'toPositions' | 'toRows' | 'fromRows'

/** Of a request whose tensors are [batch, positions, heads, dim], or [positions, heads, dim] with packed sequences in them. */
export class HeadsFirst {
  readonly #p: RequestProgram
  readonly #sequences: number
  readonly #packed: boolean
  /** whether what reads the tensors takes positions first */
  readonly inPlace: boolean
  readonly #orders = new Map<string, Ref>()

  constructor(p: RequestProgram, sequences: number, packed: boolean, inPlace: boolean) {
    this.#p = p
    this.#sequences = sequences
    this.#packed = packed
    this.inPlace = inPlace
  }

  /** A tensor's, as the client sees it. */
  shape({ heads, positions }: Rows, dim: number): number[] {
    return [...(this.#packed ? [] : [this.#sequences]), positions, heads, dim]
  }

  /** x [positions, heads, dim] of sequence after sequence as [heads, positions, dim] of each. */
  read(x: Ref, rows: Rows, dim: number): Ref {
    return this.inPlace ? x : this.#gather(x, rows, dim, 'toHeads')
  }

  /** The way back. */
  write(x: Ref, rows: Rows, dim: number): Ref {
    return this.inPlace ? x : this.#gather(x, rows, dim, 'toPositions')
  }

  /** What there is of each row, as [heads, all positions]. */
  writeRows(x: Ref, rows: Rows): Ref {
    return this.#gather(x, rows, 1, 'toRows')
  }

  /** The way back. */
  readRows(x: Ref, rows: Rows): Ref {
    return this.#gather(x, rows, 1, 'fromRows')
  }

  #gather(x: Ref, rows: Rows, dim: number, form: Form): Ref {
    const p = this.#p
    const count = this.#positions(rows) * rows.heads
    const y = p.buffer({ type: p.buffers[x].type, length: count * dim })
    const args = { parts: 1, heads: 1, rows: count, dim }
    p.stage(p.step(gatherRows, { x, order: this.#order(rows, form), y }, args))
    return y
  }

  #positions({ positions }: Rows): number {
    return this.#packed ? positions : this.#sequences * positions
  }

  #order(rows: Rows, form: Form): Ref {
    const p = this.#p
    const { heads, offsets } = rows
    const positions = this.#positions(rows)
    const key = [form, heads, positions, offsets].join()
    const there = this.#orders.get(key)
    if (there !== undefined) return there
    const order = p.buffer({ type: 'int32', length: positions * heads })
    const args = { form, sequences: this.#sequences, positions, heads }
    p.prepare(p.step(headOrder, { offsets, order }, args))
    this.#orders.set(key, order)
    return order
  }
}
