/** Weights of a model in a program: where they lie, or in its precision, made once. */
import type { Ref } from '../../workers/contract.ts'
import { sumOf } from '../layers/block-parts.ts'
import { asItLies, keptInput } from '../layers/kept.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import type { LoadedModel } from './loaded.ts'

export class ProgramWeights {
  readonly p: RequestProgram
  readonly model: LoadedModel
  readonly #refs = new Map<string, Ref>()

  constructor(p: RequestProgram, model: LoadedModel) {
    this.p = p
    this.model = model
  }

  has(name: string): boolean {
    return this.model.sources.has(name)
  }

  /** float32, for ops that read either precision. */
  asItLies(name: string): Ref {
    return asItLies(this.p, this.model.source(name))
  }

  ref(name: string): Ref {
    const there = this.#refs.get(name)
    if (there !== undefined) return there
    const { ref, step } = keptInput(this.p, this.model.source(name))
    if (step !== undefined) this.p.stage(step)
    this.#refs.set(name, ref)
    return ref
  }

  maybe(name: string): Ref | undefined {
    return this.has(name) ? this.ref(name) : undefined
  }
}

/** Gradients by our names of the weights; those of one that is used twice add up. */
export type WeightGradients = Map<string, Ref>

export function addGradient(
  { p }: ProgramWeights,
  found: WeightGradients,
  name: string,
  gradient: Ref,
): void {
  found.set(name, sumOf(p, gradient, found.get(name)))
}
