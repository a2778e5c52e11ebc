/** How the tensors of a checkpoint become parameters of a stack: whole or cut into parts, as they stand or transposed. */

export interface Weight {
  /** ours: `layers.0.attention.w_q`, `embeddings.tokens`, `head.bias` */
  name: string
  shape: number[]
  /** the checkpoint's, with its prefix */
  tensor: string
  stored: number[]
  /** the part along an axis of the stored tensor */
  axis: 0 | 1
  from: number
  to: number
  transposed: boolean
  /** what is added to every element where it is used */
  shift: number
}

interface LinearOptions {
  bias?: boolean
  /** a part of a wider matrix: of how many columns, and from which on */
  of?: number
  from?: number
  /** stored as [d_in, d_out], as GPT-2's Conv1D is */
  upright?: boolean
}

/** Collects the weights of a model. */
export class Weights {
  readonly list: Weight[] = []

  /** w_x [dIn, dOut], of nn.Linear [dOut, dIn]; with its bias b_x. */
  linear(name: string, tensor: string, dIn: number, dOut: number, options: LinearOptions = {}): this {
    const { bias = true, of = dOut, from = 0, upright = false } = options
    this.list.push({
      name,
      shape: [dIn, dOut],
      tensor: `${tensor}.weight`,
      stored: upright ? [dIn, of] : [of, dIn],
      axis: upright ? 1 : 0,
      from,
      to: from + dOut,
      transposed: !upright,
      shift: 0,
    })
    if (!bias) return this
    const own = name.replace(/w_([^.]*)$/, 'b_$1')
    this.list.push({ ...this.#plain(own, `${tensor}.bias`, [of]), shape: [dOut], from, to: from + dOut })
    return this
  }

  /** As it stands. */
  table(name: string, tensor: string, rows: number, dim: number): this {
    this.list.push(this.#plain(name, tensor, [rows, dim]))
    return this
  }

  vector(name: string, tensor: string, dim: number, shift = 0): this {
    this.list.push({ ...this.#plain(name, tensor, [dim]), shift })
    return this
  }

  /** gamma, and beta where there is a bias. */
  norm(name: string, tensor: string, dim: number, { bias = true, shift = 0 } = {}): this {
    this.vector(`${name}.gamma`, `${tensor}.weight`, dim, shift)
    return bias ? this.vector(`${name}.beta`, `${tensor}.bias`, dim) : this
  }

  #plain(name: string, tensor: string, stored: number[]): Weight {
    return {
      name,
      shape: stored,
      tensor,
      stored,
      axis: 0,
      from: 0,
      to: stored[0],
      transposed: false,
      shift: 0,
    }
  }
}
