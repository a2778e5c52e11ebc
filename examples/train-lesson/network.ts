/**
 * BERT with a masked-word head. The stack and its gradients are computed by the service (`POST /v1/transformer`); the embeddings
 * before it and the head behind it live here.
 */
import { type Client, tensor } from '../../src/client/index.ts'
import type { Batch } from './batches.ts'
import type { Random } from './draw.ts'
import * as maths from './maths.ts'

export const SIZES = { layers: 3, heads: 4, dModel: 96, hidden: 192, positions: 40 }
export const EPS = 1e-5
/** What a nat of the rows' mean entropy costs: heads that look at few tokens are easier to read. */
const ENTROPY = 0.02
const STACK = {
  layers: SIZES.layers,
  heads: SIZES.heads,
  d_model: SIZES.dModel,
  d_ff: SIZES.hidden,
  norm: 'post',
  norm_eps: EPS,
  activation: 'relu',
} as const

type StackTensors = Record<string, ReturnType<typeof tensor>>

export class Network {
  readonly parameters: maths.Parameters
  readonly #client: Client

  private constructor(client: Client, parameters: maths.Parameters) {
    this.#client = client
    this.parameters = parameters
  }

  /** The stack as the service draws it from a seed; everything else from `random`. */
  static async create(client: Client, random: Random, vocabulary: number, seed: number): Promise<Network> {
    const { dModel, positions } = SIZES
    const init = { scheme: 'xavier_uniform', seed, bias: true } as const
    const x = tensor(new Float32Array(0), [0, dModel])
    const { params } = await client.transformer({ x, stack: { ...STACK, init }, return: ['params'] })
    const drawn = (rows: number, columns: number, deviation: number) => ({
      shape: [rows, columns],
      data: Float32Array.from({ length: rows * columns }, () => deviation * random.normal()),
    })
    const all = (count: number, value: number) => ({
      shape: [count],
      data: new Float32Array(count).fill(value),
    })
    const parameters: maths.Parameters = {
      'embeddings.tokens': drawn(vocabulary, dModel, 1 / Math.sqrt(dModel)),
      'embeddings.positions': drawn(positions, dModel, 1 / Math.sqrt(dModel)),
      'embeddings.gamma': all(dModel, 1),
      'embeddings.beta': all(dModel, 0),
      'head.w_dense': drawn(dModel, dModel, 1 / Math.sqrt(dModel)),
      'head.b_dense': all(dModel, 0),
      'head.gamma': all(dModel, 1),
      'head.beta': all(dModel, 0),
      'head.bias': all(vocabulary, 0),
    }
    for (const [name, { shape, data }] of Object.entries(params as StackTensors)) {
      parameters[`stack.${name}`] = { shape, data: data as Float32Array<ArrayBuffer> }
    }
    return new Network(client, parameters)
  }

  /** The loss of each target of a batch, whether it was the most probable token, and the gradients of the whole by every parameter. */
  async gradients(batch: Batch, factors: number[][]) {
    const { dModel } = SIZES
    const embedded = this.#embed(batch)
    const request = this.#request(embedded.y, batch, factors)
    const { output } = await this.#client.transformer({ ...request, return: ['output'] })
    const states = (output as ReturnType<typeof tensor>).data as Float32Array
    const { losses, right, gradStates, gradients } = this.#head(states, batch)
    const answer = await this.#client.transformer({
      ...request,
      return: [],
      backward: { grad_output: tensor(gradStates, request.x.shape), entropy_weight: ENTROPY },
    })
    const { x, params } = answer.grads as { x: ReturnType<typeof tensor>; params: StackTensors }
    for (const [name, { data }] of Object.entries(params)) {
      gradients[`stack.${name}`] = ofHeads(name, data as Float32Array<ArrayBuffer>, factors)
    }
    const { gamma } = this.#norm('embeddings')
    const back = maths.layerNormBackward(embedded, gamma, x.data as Float32Array)
    gradients['embeddings.gamma'] = back.gradGamma
    gradients['embeddings.beta'] = back.gradBeta
    const tokens = gradients['embeddings.tokens']
    const positions = new Float32Array(this.#data('embeddings.positions').length)
    for (const [row, id] of batch.ids.entries()) {
      const position = row % batch.positions
      if (position >= batch.lengths[Math.floor(row / batch.positions)]) continue
      for (let at = 0; at < dModel; at++) {
        const slope = back.gradX[row * dModel + at]
        tokens[id * dModel + at] += slope
        positions[position * dModel + at] += slope
      }
    }
    gradients['embeddings.positions'] = positions
    return { losses, right, gradients }
  }

  #request(x: Float32Array<ArrayBuffer>, { lengths, positions }: Batch, factors: number[][]) {
    const stack = Object.entries(this.parameters).flatMap(([name, { data, shape }]) => {
      const own = name.slice('stack.'.length)
      return name.startsWith('stack.') ? [[own, tensor(ofHeads(own, data, factors), shape)]] : []
    })
    const kv_lengths = tensor(Int32Array.from(lengths))
    return {
      stack: { ...STACK, params: Object.fromEntries(stack) },
      x: tensor(x, [lengths.length, positions, SIZES.dModel]),
      kv_lengths,
    }
  }

  #data(name: string): Float32Array {
    return this.parameters[name].data
  }

  #norm(part: 'embeddings' | 'head') {
    return { gamma: this.#data(`${part}.gamma`), beta: this.#data(`${part}.beta`) }
  }

  #embed({ ids, positions }: Batch) {
    const { dModel } = SIZES
    const [tokens, places] = [this.#data('embeddings.tokens'), this.#data('embeddings.positions')]
    const x = new Float32Array(ids.length * dModel)
    for (const [row, id] of ids.entries()) {
      const position = row % positions
      for (let at = 0; at < dModel; at++)
        x[row * dModel + at] = tokens[id * dModel + at] + places[position * dModel + at]
    }
    const { gamma, beta } = this.#norm('embeddings')
    return maths.layerNorm(x, gamma, beta, EPS)
  }

  /** relu(W·x + b), a norm, the product with the tokens' embeddings: at rows that have a target. */
  #head(states: Float32Array, { targets }: Batch) {
    const { dModel } = SIZES
    const rows = targets.map(({ row }) => row)
    const x = new Float32Array(rows.length * dModel)
    for (const [at, row] of rows.entries())
      x.set(states.subarray(row * dModel, (row + 1) * dModel), at * dModel)
    const [dense, table] = [this.#data('head.w_dense'), this.#data('embeddings.tokens')]
    const sums = maths.addRow(maths.product(x, dense, dModel, dModel), this.#data('head.b_dense'))
    const { gamma, beta } = this.#norm('head')
    const normed = maths.layerNorm(
      sums.map(value => Math.max(0, value)),
      gamma,
      beta,
      EPS,
    )
    const vocabulary = table.length / dModel
    const across = maths.transposed(table, dModel)
    const logits = maths.addRow(maths.product(normed.y, across, dModel, vocabulary), this.#data('head.bias'))
    for (const [at, { among }] of targets.entries()) {
      if (among !== undefined) keepOnly(logits.subarray(at * vocabulary, (at + 1) * vocabulary), among)
    }
    const { losses, right, gradient } = maths.crossEntropy(logits, targets)
    const back = maths.layerNormBackward(normed, gamma, maths.product(gradient, table, vocabulary, dModel))
    const gradSums = back.gradX.map((value, at) => (sums[at] > 0 ? value : 0))
    const gradRows = maths.product(gradSums, maths.transposed(dense, dModel), dModel, dModel)
    const gradStates = new Float32Array(states.length)
    for (const [at, row] of rows.entries()) {
      gradStates.set(gradRows.subarray(at * dModel, (at + 1) * dModel), row * dModel)
    }
    const gradients: maths.Gradients = {
      'head.w_dense': maths.product(maths.transposed(x, dModel), gradSums, rows.length, dModel),
      'head.b_dense': maths.sumOfRows(gradSums, dModel),
      'head.gamma': back.gradGamma,
      'head.beta': back.gradBeta,
      'head.bias': maths.sumOfRows(gradient, vocabulary),
      'embeddings.tokens': maths.product(
        maths.transposed(gradient, vocabulary),
        normed.y,
        rows.length,
        dModel,
      ),
    }
    return { losses, right, gradStates, gradients }
  }
}

/**
 * Factors of the heads of each layer: some heads have no say in a batch (Zhou et al. 2020), and the others count for more. What a
 * head of the last layer has to read it must then be able to read alone.
 */
export function factorsOf(random: Random, dropped: number): number[][] {
  return Array.from({ length: SIZES.layers }, () => {
    const kept = Array.from({ length: SIZES.heads }, () => dropped === 0 || !random.happens(dropped))
    const count = kept.filter(Boolean).length
    return kept.map(each => (count === 0 ? 1 : each ? SIZES.heads / count : 0))
  })
}

/** The output weights of a layer's attention, each head's rows times its factor; every other parameter as it is. */
function ofHeads(
  name: string,
  data: Float32Array<ArrayBuffer>,
  factors: number[][],
): Float32Array<ArrayBuffer> {
  const [, layer] = /^layers\.(\d+)\.attention\.w_o$/.exec(name) ?? []
  if (layer === undefined) return data
  const size = data.length / SIZES.heads
  return data.map((value, at) => value * factors[Number(layer)][Math.floor(at / size)])
}

/** All other logits become −∞: their tokens have no probability, and no gradient. */
function keepOnly(logits: Float32Array, ids: number[]): void {
  const kept = ids.map(id => [id, logits[id]])
  logits.fill(-Infinity)
  for (const [id, logit] of kept) logits[id] = logit
}
