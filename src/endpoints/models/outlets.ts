/** Where what is asked of a model's layers goes: into `layers` of the answer, or into a frame of each layer. */
import type { Ref } from '../../../workers/contract.ts'
import { product } from '../../formats/tensor.ts'
import type { Geometry } from '../../layers/geometry.ts'
import type { OutputTensor, Report } from '../../layers/outputs.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import type { ModelPlan } from '../../models/plan.ts'
import type { Role } from '../../models/run.ts'
import { choose, chosenHeads } from '../layer-maps.ts'

/** A layer of a pass. */
export interface LayerOfPass {
  pass: 'forward' | 'backward'
  role: Role
  layer: number
}

/** Of either stack: they may have different numbers of layers. */
export function mostLayers({ stack, encoderStack }: ModelPlan): number {
  return Math.max(stack.layers, encoderStack?.layers ?? 0)
}

/** Where each of the layers that a stack has is told of, in the order asked. */
export function placesIn(layers: readonly number[], count: number): ReadonlyMap<number, number> {
  return new Map(layers.filter(layer => layer < count).map((layer, place) => [layer, place]))
}

/** Takes what one layer gives in one pass. */
export interface Outlet {
  /** as it stands */
  tensor(name: string, buffer: Ref, shape: number[], dtype?: OutputTensor['dtype']): void
  /** of a tensor [batch, heads, …] the chosen heads */
  heads(name: string, buffer: Ref, shape: number[], of: Geometry, guide?: Ref): void
  /** what is told beside tensors, once the layer has been computed */
  report(name: string, value: (read: (buffer: Ref) => Float64Array) => unknown): void
}

export interface Outlets {
  /** undefined: nothing of that layer is wanted */
  of(at: LayerOfPass): Outlet | undefined
  /** keys and values of a layer, by their full name */
  present(at: LayerOfPass, name: string, buffer: Ref, shape: number[]): void
  /** The layer has given all that it gives. */
  done(at: LayerOfPass): void
}

/** What is asked of layers, and where it goes. */
export interface Asked {
  names: readonly string[]
  /** in the order in which they are told of */
  layers: readonly number[]
  outlets: Outlets
}

/** Of `POST`: `layers` and `encoder.layers` of the answer, in the order asked. */
export class AnswerOutlets implements Outlets {
  readonly #p: RequestProgram
  readonly #reports: Report[]
  readonly #heads: number[] | undefined
  readonly #places: Record<Role, ReadonlyMap<number, number>>

  constructor(
    p: RequestProgram,
    reports: Report[],
    layers: readonly number[],
    heads: number[] | undefined,
    { stack, encoderStack }: ModelPlan,
  ) {
    this.#p = p
    this.#reports = reports
    this.#heads = heads
    this.#places = {
      encoder: placesIn(layers, encoderStack?.layers ?? 0),
      decoder: placesIn(layers, stack.layers),
    }
    for (const [role, places] of Object.entries(this.#places)) {
      const prefix = role === 'encoder' ? 'encoder.' : ''
      for (const [layer, place] of places) reports.push(() => ({ [`${prefix}layers.${place}.index`]: layer }))
    }
  }

  of({ role, layer }: LayerOfPass): Outlet | undefined {
    const place = this.#places[role].get(layer)
    if (place === undefined) return undefined
    const at = `${role === 'encoder' ? 'encoder.' : ''}layers.${place}.`
    const p = this.#p
    return {
      tensor: (name, buffer, shape, dtype) => p.output(at + name, buffer, shape, undefined, dtype),
      heads: (name, buffer, shape, geometry, guide) => {
        if (this.#heads === undefined) return p.output(at + name, buffer, shape, guide)
        const [batch, , ...row] = shape
        const y = choose(p, chosenHeads(this.#heads, geometry), buffer, product(row))
        p.output(at + name, y, [batch, this.#heads.length, ...row])
      },
      report: (name, value) => void this.#reports.push(read => ({ [at + name]: value(read) })),
    }
  }

  present(_at: LayerOfPass, name: string, buffer: Ref, shape: number[]): void {
    this.#p.output(name, buffer, shape)
  }

  done(): void {}
}
