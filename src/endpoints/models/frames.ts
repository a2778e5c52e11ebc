/** Frames of a model's run over the stream: one of each layer and pass, and one of each token that follows. */
import type { Ref } from '../../../workers/contract.ts'
import { takeRows } from '../../../workers/ops/tokens/op.ts'
import { product } from '../../formats/tensor.ts'
import type { AttentionState } from '../../layers/attention/index.ts'
import type { BlockState } from '../../layers/block.ts'
import type { Frame, FramePlace, OutputTensor, Report } from '../../layers/outputs.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import type { Detail } from '../../layers/thumbnails.ts'
import { choose, chosenHeads, mapOutputs } from '../layer-maps.ts'
import { MAP_EMITS } from '../stream-messages.ts'
import type { PreparedTokens } from './context.ts'
import type { TokenOutlet } from './generate.ts'
import { type Asked, type LayerOfPass, type Outlet, type Outlets, placesIn } from './outlets.ts'

const TOKEN_MAPS = ['weights', 'cross_weights'] as const
type TokenMap = (typeof TOKEN_MAPS)[number]

/** Maps that come as thumbnails with `detail`. */
const THUMBNAILS: readonly string[] = MAP_EMITS

export class FrameOutlets implements Outlets {
  readonly #p: RequestProgram
  readonly #layers: ReadonlySet<number>
  readonly #heads: number[] | undefined
  readonly #detail: Detail | undefined
  /** of the layer at hand */
  #outputs: OutputTensor[] = []
  #reports: Report[] = []

  constructor(
    p: RequestProgram,
    layers: readonly number[],
    heads: number[] | undefined,
    detail: Detail | undefined,
  ) {
    this.#p = p
    this.#layers = new Set(layers)
    this.#heads = heads
    this.#detail = detail
  }

  of(at: LayerOfPass): Outlet | undefined {
    if (!this.#layers.has(at.layer)) return undefined
    const p = this.#p
    const put = (output: OutputTensor) =>
      void this.#outputs.push({ ...output, name: `tensors.${output.name}` })
    return {
      tensor: (name, buffer, shape, dtype) => put({ name, buffer, shape, ...(dtype && { dtype }) }),
      heads: (name, buffer, shape, geometry) => {
        const chosen = chosenHeads(this.#heads, geometry)
        if (THUMBNAILS.includes(name)) {
          this.#outputs.push(...mapOutputs(p, chosen, this.#detail, placeOf(at), name, buffer))
          return
        }
        const [batch, , ...row] = shape
        put({
          name,
          buffer: choose(p, chosen, buffer, product(row)),
          shape: [batch, chosen.heads.length, ...row],
        })
      },
      report: (name, value) => void this.#reports.push(read => ({ [name]: value(read) })),
    }
  }

  present(at: LayerOfPass, name: string, buffer: Ref, shape: number[]): void {
    this.of(at)?.tensor(name, buffer, shape)
  }

  done(at: LayerOfPass): void {
    const reports = this.#reports
    const nothing = this.#outputs.length === 0 ? { tensors: {} } : {}
    const report: Report = read => Object.assign({ ...nothing }, ...reports.map(each => each(read)))
    this.#p.barrier(placeOf(at), this.#outputs, reports.length === 0 ? undefined : report)
    this.#outputs = []
    this.#reports = []
  }
}

function placeOf({ pass, role, layer }: LayerOfPass): FramePlace {
  return { pass, ...(role === 'encoder' && { stack: role }), layer }
}

/** Of each token: its id, and where `emit` names weights, whom the row that it was drawn from attends to. */
export class TokenFrames implements TokenOutlet {
  readonly #p: RequestProgram
  readonly #names: TokenMap[]
  readonly #places: ReadonlyMap<number, number>
  readonly #heads: number[] | undefined
  readonly #nameOf: PreparedTokens['nameOf']
  #outputs: OutputTensor[] = []

  constructor(
    p: RequestProgram,
    { names, layers }: Pick<Asked, 'names' | 'layers'>,
    /** of the decoder */
    count: number,
    heads: number[] | undefined,
    nameOf: PreparedTokens['nameOf'],
  ) {
    this.#p = p
    this.#names = TOKEN_MAPS.filter(name => names.includes(name))
    this.#places = placesIn(layers, count)
    this.#heads = heads
    this.#nameOf = nameOf
  }

  maps(layer: number): TokenMap[] {
    return this.#places.has(layer) ? this.#names : []
  }

  layer(layer: number, { attention, cross }: BlockState): void {
    for (const name of this.maps(layer)) {
      const state = name === 'weights' ? attention : cross
      if (state !== undefined) this.#outputs.push(this.#lastRow(layer, name, state.attention))
    }
  }

  token(item: number, index: number, value: Ref): Frame {
    const outputs = this.#outputs
    this.#outputs = []
    const layers = outputs.length === 0 ? [] : [...this.#places]
    return this.#p.barrier({ pass: 'generate', item, layer: index }, outputs, read => {
      const [id] = read(value)
      const indices = layers.map(([layer, place]) => [`layers.${place}.index`, layer])
      return {
        token: { id, ...(this.#nameOf && { string: this.#nameOf(id) }) },
        ...Object.fromEntries(indices),
      }
    })
  }

  #lastRow(layer: number, name: TokenMap, { attended, plan }: AttentionState): OutputTensor {
    const p = this.#p
    const { heads: all, queries, keys } = plan.geometry
    const heads = this.#heads ?? Array.from({ length: all }, (_, head) => head)
    const rows = heads.map(head => head * queries + queries - 1)
    const chosen = p.buffer({ type: 'int32', length: rows.length, data: rows })
    const y = p.reals(heads.length * keys)
    const tensors = { x: attended.written.weights as Ref, chosen, y }
    p.stage(p.step(takeRows, tensors, { count: rows.length, dim: keys }))
    return { name: `layers.${this.#places.get(layer)}.${name}`, buffer: y, shape: [heads.length, keys] }
  }
}
